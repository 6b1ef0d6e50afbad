"""A receipt, and rarities, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from feedback import guards
from feedback.labels import EffectOn, ToleranceEffect, TrainingEffect, Verdict
from feedback.receipt import HINDSIGHT_DAYS, Action, Change, Power, Receipt

_VERDICT_WORDS = {verdict: verdict.value.replace("_", " ") for verdict in Verdict}
_ACTED_ON = {
    EffectOn.ALERT: "the alert",
    EffectOn.TRAINING: "training",
    EffectOn.TOLERANCE: "tolerance",
    EffectOn.CREATES: "what is made",
}
_LARGEST_WEEKS = 1e300
_NAMED = 4


def sentences(receipt: Receipt) -> list[str]:
    """What the receipt says, the most important first."""
    return [sentence for part in _PARTS for sentence in part(receipt)]


def warnings(receipt: Receipt) -> list[str]:
    """What the person who labelled should think over."""
    return list(_warnings(receipt))


def weeks(rarity: float) -> float:
    """Return period in weeks of a rarity in log10 weeks, kept within what JSON can say."""
    return float(min(10.0 ** min(rarity, 300.0), _LARGEST_WEEKS))


def rarity_in_words(rarity: float) -> str:
    """How often one would see it on normal data: "once in 40 weeks"."""
    period = weeks(rarity)
    if period < 1:
        often = 1 / period
        return f"{often:.0f} times a week" if often >= 1.5 else "once a week"
    if period < 104:
        return "once a week" if period < 1.5 else f"once in {period:.0f} weeks"
    years = period * 7 / 365.25
    if years < 10:
        return f"once in {years:.1f} years"
    if years < 1_000_000:
        return f"once in {_two_digits(years)} years"
    return "less than once in a million years"


def _two_digits(number: float) -> str:
    digits = len(str(int(number)))
    return f"{round(number, min(0, 2 - digits)):,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _movement(direction: int) -> str:
    return {1: "Rises", -1: "Falls"}.get(direction, "Anomalies")


def _on_trial(receipt: Receipt) -> Iterator[str]:
    if receipt.action is Action.WOULD_LABEL:
        yield "Nothing has changed yet; this is what the label would do."
    elif receipt.action is Action.WOULD_UNDO:
        yield "Nothing has changed yet; this is what the undo would do."
    elif receipt.action is Action.UNDONE:
        yield f"The label “{_VERDICT_WORDS[receipt.verdict]}” is taken back, and so is all that it taught."


def _on_alert(receipt: Receipt) -> Iterator[str]:
    status = receipt.alert_status
    if status is None:
        return
    match status.before, status.after:
        case "firing", "closed":
            yield "The alert is closed, and its channels are told."
        case "firing", "firing":
            yield f"The alert stays open until the {'gap' if receipt.of_gap else 'anomaly'} ends."
        case "closed", "firing":
            yield "The alert is open again."
        case "closed", "resolved":
            yield "The alert is no longer closed; what it told of is over."
        case "firing", "resolved":
            yield "The alert is over with this: nothing else that it told of goes on."
        case "withdrawn", "withdrawn":
            yield "The alert was withdrawn before, and stays so."
        case "withdrawn", after if after != "withdrawn":
            yield "The alert is no longer withdrawn."
        case _, "withdrawn":
            yield "The alert is withdrawn, and does not count as a false alarm."
        case _:
            yield "What the alert told of was over already."


def _on_all_series(receipt: Receipt) -> Iterator[str]:
    """What a label on an alert of several series reaches."""
    if not receipt.beside:
        return
    named = ", ".join(str(each) for each in receipt.beside[:_NAMED])
    more = f" and {len(receipt.beside) - _NAMED:,} more" if len(receipt.beside) > _NAMED else ""
    verb = "It is taken back for" if receipt.action is Action.UNDONE else "It counts for"
    yield (
        f"{verb} all {1 + len(receipt.beside):,} series of the alert: {receipt.series}, {named}{more}. "
        "What follows is said of the first."
    )


def _on_replay(receipt: Receipt) -> Iterator[str]:
    """Whether a reported miss would be told now."""
    if receipt.replayed is None or receipt.action in (Action.UNDONE, Action.WOULD_UNDO):
        return
    if receipt.replayed.told:
        yield "Played again, the span is told: the next like it will be."
    else:
        yield f"Played again, the span is still not told: {receipt.replayed.reason}. {receipt.replayed.cure}"


def _on_creation(receipt: Receipt) -> Iterator[str]:
    yield from receipt.created


def _on_threshold(receipt: Receipt) -> Iterator[str]:
    kind, change, repeats = (
        f"{_movement(receipt.direction)} of {receipt.series}",
        receipt.threshold,
        receipt.threshold_of_repeats,
    )
    after = rarity_in_words(change.after)
    if repeats not in (change, Change(repeats.after, repeats.after)):
        again = rarity_in_words(repeats.after)
        yield (
            f"The same {_movement(receipt.direction).lower()[:-1]} at this hour of the week is now told when it is as "
            f"rare as {again}; before, {rarity_in_words(repeats.before)}."
        )
        kind = f"Other {kind[0].lower()}{kind[1:]} that look like it"
    if not change.is_none:
        yield f"{kind} are now told when they are as rare as {after}; before, {rarity_in_words(change.before)}."
    elif receipt.pinned_by:
        yield f"{kind} are told from {after} on, as before: {_pin_reason(receipt.pinned_by)}"
    elif not receipt.acts:
        yield f"{kind} are told from {after} on, as before: another verdict on this alert decides."
    elif receipt.effects.tolerance is ToleranceEffect.PINNED:
        yield f"{kind} are told from {after} on, as before, and no false alarm may hide a repeat of this one."
    else:
        yield f"{kind} are told from {after} on, as before."
    if not change.is_none and receipt.pinned_by:
        yield f"It goes no further, since {_pin_reason(receipt.pinned_by)}"


def _pin_reason(labels: Sequence[int]) -> str:
    names = ", ".join(f"label {each}" for each in labels)
    return f"a real problem of about this strength must be told again ({names})."


def _on_training(receipt: Receipt) -> Iterator[str]:
    if receipt.action in (Action.UNDONE, Action.WOULD_UNDO):
        return
    if any(each.decides and EffectOn.TRAINING in each.on for each in receipt.disagreements):
        yield "Whether its points count when baselines are trained, another verdict decides."
    elif receipt.effects.training is TrainingEffect.INCLUDED:
        yield "Its points count as normal when baselines are trained."
    elif receipt.effects.training is TrainingEffect.EXCLUDED:
        yield "Its points are left out when baselines are trained."
    elif receipt.effects.training is TrainingEffect.LEVEL_FORGOTTEN:
        yield "The level before it is forgotten when baselines are trained; the shape of the season is kept."


def _on_siblings(receipt: Receipt) -> Iterator[str]:
    if receipt.siblings.is_none:
        return
    before, after = (10.0**decades for decades in (receipt.siblings.before, receipt.siblings.after))
    learn = "learn a little from it" if after > before else "forget a little"
    yield (
        f"Other series of {receipt.series.metric} {learn}: they are told when {after:.1f} times as rare as "
        f"the alert budget asks; before, {before:.1f} times."
    )


def _on_past(receipt: Receipt) -> Iterator[str]:
    if receipt.no_longer_sent.count:
        count = receipt.no_longer_sent.count
        yield f"Of the alerts of the last {HINDSIGHT_DAYS} days, {count} would not have been sent."
    if receipt.now_sent.count:
        count = receipt.now_sent.count
        more = "1 more alert" if count == 1 else f"{count} more alerts"
        yield f"In the last {HINDSIGHT_DAYS} days, {more} would have been sent."
    if not receipt.no_longer_sent.count and not receipt.now_sent.count:
        yield f"It would have changed no alert of the last {HINDSIGHT_DAYS} days."


def _on_power(receipt: Receipt) -> Iterator[str]:
    if receipt.own_power is None:
        return
    before, after = receipt.own_power.before, receipt.own_power.after
    yield (
        f"Of sudden drops of {_percent(after.size)}{_in_its_week(after)} it would tell {_percent(after.drops)} "
        f"(before {_percent(before.drops)}), of spikes {_percent(after.spikes)} (before {_percent(before.spikes)})."
    )


def _in_its_week(power: Power) -> str:
    return "" if power.since is None else f" in the week from {power.since:%d %b %Y} on"


def _on_disagreement(receipt: Receipt) -> Iterator[str]:
    for each in receipt.disagreements:
        said = f"{each.other.author} said “{_VERDICT_WORDS[each.other.verdict]}” on {each.other.created_at:%d %b %Y}"
        part = "" if len(each.on) == len(EffectOn) else f" on {' and '.join(_ACTED_ON[effect] for effect in each.on)}"
        if each.other.author == receipt.author and receipt.source != "link" and not each.decides:
            yield f"{said}. This takes its place{part}."
            continue
        theirs, this = f"theirs decides{part}, since it is newer or from a signed-in person", f"this one decides{part}"
        yield f"{said}. Both are kept; {theirs if each.decides else this}."


def _on_worth(receipt: Receipt) -> Iterator[str]:
    if receipt.worth is None or receipt.worth.is_none:
        return
    before, after = _percent(receipt.worth.before), _percent(receipt.worth.after)
    yield f"Something just like it is now wanted with a chance of {after} (before {before})."
    yield from receipt.reasons


def _on_duration(receipt: Receipt) -> Iterator[str]:
    fades = receipt.effects.tolerance in (ToleranceEffect.RAISED, ToleranceEffect.PINNED, ToleranceEffect.LOWERED)
    if fades and receipt.action in (Action.LABELLED, Action.WOULD_LABEL):
        days = guards.full_days(receipt.weight, receipt.half_life)
        yield f"It holds from the next point on, in full for about {days} days; then it fades."
    else:
        yield "It holds from the next point on."


def deafening(receipt: Receipt) -> str:
    """The sentence that says which changes of the owner's size the label would hide; empty where it hides none."""
    return " ".join(_hidden(receipt))


def _hidden(receipt: Receipt) -> Iterator[str]:
    """Of drops and of spikes, what the series that loses most of them would lose."""
    if receipt.action not in (Action.LABELLED, Action.WOULD_LABEL):
        return
    for what in ("drops", "spikes"):
        shares = [
            (getattr(of.after, what), getattr(of.before, what), getattr(of.unlabelled, what), of)
            for of in receipt.power
        ]
        lost = [each for each in shares if guards.deafens(unlabelled=each[2], before=each[1], after=each[0])]
        if not lost:
            continue
        now, then, ever, of = min(lost, key=lambda each: each[0])
        whose = "" if of.series == receipt.series else f" in {of.series}"
        without = f", and {_percent(ever)} without any label" if ever > then else ""
        yield (
            f"Careful: of {what} of {_percent(of.after.size)}{whose}{_in_its_week(of.after)} it would "
            f"{'now' if of.after.since is None else 'then'} tell only {_percent(now)}, "
            f"before {_percent(then)}{without}."
        )


def reaching_beyond(receipt: Receipt) -> str:
    """The sentence that says of how many series it is besides those that were labelled; empty where of none."""
    if not receipt.beyond or receipt.action not in (Action.LABELLED, Action.WOULD_LABEL):
        return ""
    named = ", ".join(str(each) for each in receipt.beyond[:_NAMED])
    more = f" and {len(receipt.beyond) - _NAMED:,} more" if len(receipt.beyond) > _NAMED else ""
    return f"Careful: what it makes is about {len(receipt.beyond):,} series that the label is not about: {named}{more}."


def _warnings(receipt: Receipt) -> Iterator[str]:
    for hidden in _hidden(receipt):
        yield f"{hidden} Undo the label if you want to hear of those."
    if beyond := reaching_beyond(receipt):
        yield f"{beyond} Undo the label if they are not meant."


_PARTS = (
    _on_trial,
    _on_alert,
    _on_all_series,
    _on_replay,
    _on_creation,
    _on_threshold,
    _on_disagreement,
    _warnings,
    _on_past,
    _on_power,
    _on_training,
    _on_siblings,
    _on_worth,
    _on_duration,
)

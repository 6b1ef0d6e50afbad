"""What pressing a button promises, and how the page after it is headed."""

from __future__ import annotations

from feedback.labels import EffectOn

PROMISES = {
    "false_alarm": "Closes this alert. Something like it must be rarer before you hear of it again.",
    "real": "The alert stays until it is over. What happened is not learned, and a repeat will always be told.",
    "missed": "Heed learns to tell you of something like it.",
    "event": "Closes this alert and keeps the event out of what Heed learns.",
    "new_normal": "Closes this alert and lets Heed get used to the new level.",
    "bad_data": "Withdraws this alert and keeps the data out of what Heed learns.",
}
PARTS = {
    EffectOn.ALERT: "What becomes of this alert",
    EffectOn.TRAINING: "Whether its points are learned",
    EffectOn.TOLERANCE: "When you hear of something like it",
    EffectOn.CREATES: "The event, the gap or the new level that it makes",
}
DEEDS = {
    "acknowledge": "Others see that somebody looks after it, and it is not escalated.",
    "snooze": "You hear of it again when it gets worse, and when it is over.",
}
DONE = {
    "acknowledge": "Noted: somebody looks after it",
    "snooze": "Noted: snoozed until it changes",
}
NOTED = {
    "false_alarm": "Noted: a false alarm",
    "real": "Noted: a real problem",
    "missed": "Noted: missed",
    "event": "Noted: a one-off event",
    "new_normal": "Noted: the new normal",
    "bad_data": "Noted: bad data",
}

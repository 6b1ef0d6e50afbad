#!/bin/sh
# Installs what the tests need beside Python: the programs of a PostgreSQL server, Chromium, Alertmanager.
# The server that Debian's package would start is not used: the tests start their own, on a free port.
set -eu
. "$(dirname "$0")/apt.sh"
missing=

command -v pg_ctl >/dev/null || ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1 || missing="$missing postgresql"
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
  || missing="$missing chromium"

# What drives the browser is linked to it.
find /usr/lib /lib -name libatomic.so.1 2>/dev/null | grep -q . || missing="$missing libatomic1"

command -v prometheus-alertmanager >/dev/null || command -v alertmanager >/dev/null || missing="$missing prometheus-alertmanager"

[ -z "$missing" ] && exit 0
echo "The tests use a real database, browser and Alertmanager: installing$missing ..."
# shellcheck disable=SC2086
install_packages $missing

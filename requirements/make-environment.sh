#!/bin/sh
# Makes the environment in the folder given. Says the cure where Python is too old or can't do it.
set -eu
python=${PYTHON:-python3}
folder=$1

if ! command -v "$python" >/dev/null; then
  echo "Heed needs Python 3.11 or later, and there is no '$python'. On Debian: apt-get install python3 python3-venv" >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Heed needs Python 3.11 or later; '$python' is older. Name a newer one: make PYTHON=python3.11 ..." >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  . "$(dirname "$0")/apt.sh"
  echo "This Python can't make environments yet: installing Debian's python3-venv."
  install_packages python3-venv
fi
echo "Making the environment in $folder ..."
"$python" -m venv "$folder" || { rm -rf "$folder"; exit 1; }

# To be read by the other scripts: install_packages NAME... with apt, as root or through sudo, or say what is missing.

install_packages() {
  if ! command -v apt-get >/dev/null; then
    echo "Please install what Debian calls: $*. (There is no apt-get here to do it.)" >&2
    exit 1
  fi
  if [ "$(id -u)" = 0 ]; then
    as_root=env
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo env"
  else
    echo "No right to install packages here. Please run as root: apt-get install $*" >&2
    exit 1
  fi
  $as_root DEBIAN_FRONTEND=noninteractive apt-get update -qq
  $as_root DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says which. Nothing else on the system changes.
# Usage: setup.sh GROUP...   groups: run, test
set -euo pipefail

declare -A PACKAGES=(
  # clang, cmake: whisper.cpp; espeak-ng: phonemes; asound: `dauys console`; pip: model packages
  [run]="build-essential cmake clang libclang-dev pkg-config libasound2-dev libespeak-ng-dev espeak-ng-data python3 python3-pip ca-certificates"
  # independent SIP stacks that the tests call with; a name server
  [test]="python3-venv baresip-core sip-tester dnsmasq-base"
)
PJSUA2="pjsua2-python==2.15.1.post1"

missing=()
for group in "$@"; do
  for package in ${PACKAGES[$group]}; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
done

if [ ${#missing[@]} -gt 0 ]; then
  echo "Installing missing Debian packages: ${missing[*]}"
  sudo=""
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Not root and no sudo: install them yourself, then run this again." >&2; exit 1; }
    sudo=sudo
  fi
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

command -v cargo >/dev/null || { echo "Rust is missing: install it with rustup (https://rustup.rs), then run this again." >&2; exit 1; }

# pjsua2, a second SIP stack, lives in an environment of its own beside the other caches.
if [[ " $* " == *" test "* ]]; then
  venv="$HOME/.cache/dauys/venv"
  if ! "$venv/bin/python" -c 'import pjsua2' 2>/dev/null; then
    echo "Installing $PJSUA2 into $venv"
    /usr/bin/python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install -q "$PJSUA2"
  fi
fi

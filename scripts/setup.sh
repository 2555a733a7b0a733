#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says which. Nothing else on the system changes.
# Usage: setup.sh GROUP...   groups: run, test
set -euo pipefail

declare -A PACKAGES=(
  # clang, cmake: whisper.cpp; espeak-ng: phonemes; asound: `dauys console`; pip: model packages
  [run]="build-essential cmake clang libclang-dev pkg-config libasound2-dev libespeak-ng-dev espeak-ng-data python3 python3-pip ca-certificates"
  # independent SIP stacks that the tests call with; a browser; a proxy; a name server; a database server; hours of speech without a key in it
  [test]="python3-venv chromium fonts-inter iproute2 baresip-core sip-tester sox dnsmasq-base linphone-cli kamailio postgresql asterisk-core-sounds-en-wav asterisk-core-sounds-es-wav asterisk-core-sounds-ru-wav"
)
PJSUA2="pjsua2-python==2.15.1.post1"
AIORTC="aiortc==1.16.0"
SIPVICIOUS="sipvicious==0.3.8"
VOICEBENCH="voicebench==0.2.0"
JSSIP="jssip@3.13.5"
WS="ws@8.23.0"
PLAYWRIGHT="playwright-core@1.65.1"
AXE="axe-core@4.14.1"

missing=()
for group in "$@"; do
  for package in ${PACKAGES[$group]}; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
done
# Not by the package's name: Node from elsewhere brings its own npm.
if [[ " $* " == *" test "* ]] && ! command -v npm >/dev/null; then
  missing+=(nodejs npm)
fi

if [ ${#missing[@]} -gt 0 ]; then
  echo "Installing missing Debian packages: ${missing[*]}"
  sudo=""
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Not root and no sudo: install them yourself, then run this again." >&2; exit 1; }
    sudo=sudo
  fi
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  # Being installed starts it, on the port that the gateway wants; the tests start their own.
  if [[ " ${missing[*]} " == *" kamailio "* ]] && [ -d /run/systemd/system ]; then
    $sudo systemctl disable --now --quiet kamailio
  fi
  # The same: the tests start a server of their own, on no port.
  if [[ " ${missing[*]} " == *" postgresql "* ]] && [ -d /run/systemd/system ]; then
    $sudo systemctl disable --now --quiet postgresql
  fi
fi

command -v cargo >/dev/null || { echo "Rust is missing: install it with rustup (https://rustup.rs), then run this again." >&2; exit 1; }

# Two more SIP stacks, a WebRTC stack, a scanner and a judge of voice agents live in environments of their own beside the other caches.
if [[ " $* " == *" test "* ]]; then
  venv="$HOME/.cache/dauys/venv"
  if ! "$venv/bin/python" -c 'import pjsua2' 2>/dev/null; then
    echo "Installing $PJSUA2 into $venv"
    /usr/bin/python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install -q "$PJSUA2"
  fi
  if ! "$venv/bin/python" -c 'import aiortc' 2>/dev/null; then
    echo "Installing $AIORTC into $venv"
    "$venv/bin/python" -m pip install -q "$AIORTC"
  fi
  if ! "$venv/bin/python" -c 'import sipvicious' 2>/dev/null; then
    echo "Installing $SIPVICIOUS into $venv"
    "$venv/bin/python" -m pip install -q "$SIPVICIOUS"
  fi
  if ! "$venv/bin/python" -c 'import voicebench' 2>/dev/null; then
    echo "Installing $VOICEBENCH into $venv"
    "$venv/bin/python" -m pip install -q "$VOICEBENCH"
  fi
  node="$HOME/.cache/dauys/node"
  tools=("$JSSIP" "$WS" "$PLAYWRIGHT" "$AXE")
  absent=0
  for tool in "${tools[@]}"; do [ -d "$node/node_modules/${tool%@*}" ] || absent=1; done
  if [ "$absent" = 1 ]; then
    echo "Installing ${tools[*]} into $node"
    mkdir -p "$node"
    # The browser is Debian's.
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm install --prefix "$node" --no-audit --no-fund --loglevel=error "${tools[@]}" >/dev/null
  fi
fi

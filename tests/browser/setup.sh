#!/usr/bin/env bash
# Sets up Debian's Chromium and its driver if they are missing.
set -euo pipefail
if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
  exit 0
fi
echo "== Setting up chromium and chromium-driver"
if ! command -v apt-get >/dev/null; then
  echo "the browser tests need the programs chromium and chromedriver: there is no apt-get here to" \
    "install them with, so install them yourself, or leave out make test-browser" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
else
  echo "the browser tests need chromium and chromedriver, and you are neither root nor may you use" \
    "sudo without a password: apt-get install chromium chromium-driver" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
install=("${as_root[@]}" apt-get install --yes --quiet --no-install-recommends chromium chromium-driver)
# A list of packages that is old or missing is fetched anew, and then it is tried once more.
"${install[@]}" || { "${as_root[@]}" apt-get update --quiet && "${install[@]}"; }

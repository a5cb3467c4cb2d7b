# shellcheck shell=bash
# What scripts share.

# say TEXT...: the heading of a part.
say() { printf '\n== %s\n' "$*" >&2; }

# root COMMAND...: runs a command as root.
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

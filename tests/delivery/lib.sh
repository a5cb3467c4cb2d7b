# shellcheck shell=bash disable=SC2034
# What the proofs share: checks, one line each, and the sum of them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=SCRIPTDIR/../../.env
. "$root/.env"
cd "$root"
export HELMFILE_UPGRADE_NOTICE_DISABLED=1

passed=0 failed=0
work=$(mktemp -d)
log=$work/log

# check WHAT COMMAND...: one line, with the time it took, and what it printed if it failed.
check() {
  local what=$1 begin=${EPOCHREALTIME/./} verdict=ok took status
  shift
  # Not in a condition, where a function would go on after its first failure.
  set +e
  (
    set -ex
    "$@"
  ) >"$log" 2>&1
  status=$?
  set -e
  if ((status == 0)); then passed=$((passed + 1)); else
    verdict=FAILED
    failed=$((failed + 1))
  fi
  took=$(((${EPOCHREALTIME/./} - begin) / 100000))
  printf '%-6s %3d.%d s  %s\n' "$verdict" $((took / 10)) $((took % 10)) "$what"
  if [[ $verdict == FAILED ]]; then tail -n 40 "$log" | sed 's/^/       | /'; fi
}

# refused TEXT COMMAND...: the command fails and says TEXT.
refused() {
  local text=$1 said
  shift
  if said=$("$@" 2>&1); then
    echo "not refused: $said"
    return 1
  fi
  grep -F -- "$text" <<<"$said" || {
    echo "refused otherwise: $said"
    return 1
  }
}

# eventually SECONDS COMMAND...
eventually() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < until)) || return 1
    sleep 0.3
  done
}

# The closing line, in the shape that test runners have.
finish() {
  rm -rf "$work"
  echo
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

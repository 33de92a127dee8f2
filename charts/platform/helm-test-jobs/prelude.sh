# The words that smoke scripts use. POSIX sh, busybox ash included; needs cat, date and sleep besides kubectl.
_passed=0
_failed=0
_skipped=0
_reason=''
_current=''
_stopped=''
_watchdog=''
_began=$(date +%s)
_output=${HOME:-/tmp}/.check-output

_line() { # state, name, value: one line per check; further lines of the value are indented
  printf '%-8s%s' "$1" "$2"
  [ -z "$3" ] || printf '%s\n' "$3" | { IFS= read -r _first || :; printf ': %s' "$_first"; while IFS= read -r _more; do printf '\n          %s' "$_more"; done; }
  printf '\n'
}

# _run NAME COMMAND…: put what the command prints into _value. A signal interrupts `wait`, but not `$(…)`.
_run() {
  _current=$1
  shift
  { (set +e && "$@") <&3 3<&- >"$_output" 2>&1 & } 3<&0
  _code=0
  wait "$!" || _code=$?
  _current=''
  _value=$(cat "$_output")
  return "$_code"
}

# check NAME COMMAND…: the command must succeed; what it prints is the value shown. Later checks still run.
check() {
  _name=$1
  if _run "$@"; then
    _passed=$((_passed + 1))
    _line ok "$_name" "$_value"
  else
    _failed=$((_failed + 1))
    _line FAILED "$_name" "${_value:-exit code $_code}"
  fi
}

# expect VALUE COMMAND…: what the command prints must be VALUE.
expect() {
  _want=$1
  shift
  _got=$("$@") || return
  if [ "$_got" = "$_want" ]; then
    printf '%s\n' "$_got"
  else
    printf 'expected %s, got %s\n' "$_want" "${_got:-nothing}"
    return 1
  fi
}

# at_least N COMMAND…: the command must print a whole number of N or more.
at_least() {
  _want=$1
  shift
  _got=$("$@") || return
  case $_got in
    '' | *[!0-9]*)
      printf 'expected a number, got %s\n' "${_got:-nothing}"
      return 1
      ;;
  esac
  if [ "$_got" -ge "$_want" ]; then
    printf '%s\n' "$_got"
  else
    printf 'expected at least %s, got %s\n' "$_want" "$_got"
    return 1
  fi
}

# count COMMAND…: how many words the command prints.
count() {
  _words=$("$@") || return
  # shellcheck disable=SC2086 # splitting is what counts them
  set -- $_words
  printf '%s\n' "$#"
}

# not_empty COMMAND…: the command must print something, which is not shown: for Secrets.
not_empty() {
  _got=$("$@") || return
  if [ -n "$_got" ]; then
    printf 'present\n'
  else
    printf 'empty\n'
    return 1
  fi
}

# wait_for SECONDS COMMAND…: tries once a second until the command succeeds; its last output is the value.
wait_for() {
  _limit=${TEST_WAIT:-$1}
  _until=$(($(date +%s) + _limit))
  shift
  while :; do
    if _last=$("$@" 2>&1); then
      printf '%s\n' "$_last"
      return 0
    fi
    if [ "$(date +%s)" -ge "$_until" ]; then
      printf '%s (after %ss)\n' "$_last" "$_limit"
      return 1
    fi
    sleep 1
  done
}

# skip REASON: says that something was not checked, and why; the script goes on.
skip() {
  _skipped=$((_skipped + 1))
  _reason=$1
  _line skipped "$1" ''
}

# need REASON COMMAND…: an optional test ends here, skipped for REASON, when the command fails; any other one fails.
need() {
  _reason=$1
  if _run "$@"; then
    return 0
  fi
  if [ "${TEST_OPTIONAL:-false}" = true ]; then
    skip "$_reason"
  else
    _failed=$((_failed + 1))
    _line FAILED "$_reason" "$_value"
  fi
  exit 0 # the trap below gives the real exit code
}

# On SIGTERM: name the check under way. The watchdog sends it after TEST_TIMEOUT seconds, kubelet when the pod must go.
_stop() {
  trap '' TERM
  _seconds=$(($(date +%s) - _began))
  _stopped=stopped
  if [ -n "${TEST_TIMEOUT:-}" ] && [ "$_seconds" -ge "${TEST_TIMEOUT:-0}" ]; then
    _stopped='timed out'
  fi
  exit 124
}

# The last line is the verdict; a script that checked nothing, or ended early, has not passed.
_verdict() {
  _code=$?
  trap - EXIT
  trap '' TERM
  [ -z "$_watchdog" ] || kill "$_watchdog" 2>/dev/null || :
  if [ -n "$_stopped" ]; then
    _line FAILED "${_current:-the script}" "not finished after ${_seconds}s"
    printf 'result: %s (%ss%s)\n' "$_stopped" "$_seconds" "${_current:+, during $_current}"
    exit 124
  fi
  if [ "$_code" -ne 0 ]; then
    _failed=$((_failed + 1))
    _line FAILED "the script ended with exit code $_code" ''
  elif [ $((_passed + _failed + _skipped)) -eq 0 ]; then
    _failed=1
    _line FAILED 'the script made no check' ''
  fi
  if [ "$_failed" -gt 0 ]; then
    printf 'result: failed (%s of %s)\n' "$_failed" $((_passed + _failed))
    exit 1
  elif [ "$_passed" -eq 0 ]; then
    printf 'result: skipped (%s)\n' "$_reason"
  else
    printf 'result: passed (%s)\n' "$_passed"
  fi
  exit 0
}
trap _verdict EXIT
trap _stop TERM
if [ -n "${TEST_TIMEOUT:-}" ]; then # no child of this shell: a script may use `wait`
  _watchdog=$({ sleep "$TEST_TIMEOUT" && kill -TERM "$$"; } </dev/null >/dev/null 2>&1 & echo "$!")
fi

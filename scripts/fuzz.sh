#!/usr/bin/env bash
# Runs every fuzz target (or those named) a million times and writes benches/results/fuzz.json.
# Usage: fuzz.sh [TARGET...]   RUNS=N: another number of runs, and no results written
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION="0.13.2"
TOOLS="$HOME/.cache/dauys/tools"
# Built apart from everything else: every crate is instrumented.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/dauys/target}/fuzz"
export PATH="$TOOLS/bin:$PATH"
RUNS_WANTED="${RUNS:-1000000}"

if [ "$(cargo-fuzz --version 2>/dev/null)" != "cargo-fuzz $VERSION" ]; then
  echo "Installing cargo-fuzz $VERSION into $TOOLS"
  cargo install cargo-fuzz --version "=$VERSION" --locked --quiet --force --root "$TOOLS"
fi

TARGETS=("$@")
[ $# -gt 0 ] || TARGETS=(message sdp auth stream endpoint data leg)
results=()
for target in "${TARGETS[@]}"; do
  # New inputs are kept beside the build: the repository has those worth keeping.
  found="$CARGO_TARGET_DIR/corpus/$target"
  log="$CARGO_TARGET_DIR/$target.log"
  mkdir -p "$found"
  length=4096
  [ "$target" != endpoint ] || length=512
  # No sanitizer: the crate has no unsafe code, and without one the usual toolchain will do.
  cargo fuzz build --sanitizer none "$target"
  echo "$target: $RUNS_WANTED runs, see $log"
  begin=$(date +%s)
  if ! nice cargo fuzz run --sanitizer none "$target" "$found" "fuzz/corpus/$target" -- \
    -runs="$RUNS_WANTED" -max_len="$length" -timeout=20 -rss_limit_mb=512 -print_final_stats=1 >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "$target: found something; the input is in fuzz/artifacts/$target" >&2
    exit 1
  fi
  wall_s=$(($(date +%s) - begin))
  done_line=$(grep -E '^#[0-9]+[[:space:]]+DONE' "$log")
  after() { sed -E "s/.* $1: ([0-9]+).*/\1/" <<<"$done_line"; }
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  rss=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
  echo "$target: $runs runs in $wall_s s, $(after cov) edges, $(after ft) features"
  results+=("    {\"target\": \"$target\", \"runs\": $runs, \"crashes\": 0, \"wall_s\": $wall_s, \"runs_per_s\": $((runs / (wall_s > 0 ? wall_s : 1))), \"edges\": $(after cov), \"features\": $(after ft), \"peak_rss_mb\": $rss}")
done

if [ $# -eq 0 ] && [ "$RUNS_WANTED" = 1000000 ]; then
  model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  {
    printf '{\n  "machine": "%s shared cores, %s",\n' "$(nproc)" "$model"
    printf '  "toolchain": "%s",\n' "$(rustc --version)"
    printf '  "checks": "debug assertions, overflow checks, 512 MB, 20 s an input",\n  "targets": [\n'
    for i in "${!results[@]}"; do
      [ "$i" -eq $((${#results[@]} - 1)) ] && printf '%s\n' "${results[$i]}" || printf '%s,\n' "${results[$i]}"
    done
    printf '  ]\n}\n'
  } >benches/results/fuzz.json
  echo "benches/results/fuzz.json"
fi

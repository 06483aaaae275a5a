#!/usr/bin/env bash
# Try the commands that pip has installed in an empty folder, as somebody does who has only the package:
# `try_package.sh ENVIRONMENT`. Synthetic images, one epoch, no network.
set -euo pipefail
bin=$(cd "$1/bin" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export WANDB_MODE=offline
unset PYTHONPATH
"$bin/bus-train" model=alexnet data=phantom data.root=phantom data.phantom.images=60 data.size=64 debug_size=true \
  trainer.max_epochs=1 logger=csv callbacks.progress=null group=first name=tiny
test -s runs/first/tiny/cases.csv
"$bin/bus-report" runs/first
test -s runs/first/report/index.html
"$bin/bus-audit" data=phantom data.root=phantom
test -s audit/audit.json
"$bin/bus-evaluate" 'runs=runs/first/*' part=all progress=false
compgen -G 'runs/first/tiny/evaluations/*/metrics.json' > /dev/null
"$bin/bus-diagnose" 'phantom/malignant' --out answers
test -s answers/results.csv
echo "The commands of the package work in an empty folder"

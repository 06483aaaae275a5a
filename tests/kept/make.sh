#!/usr/bin/env bash
# How the folders here were made, once, with the code of commit bf0bf57 (all seeds are 0). They are never made again, and
# the modules that this script names may have moved since. OUT was /tmp/project, which checkpoints name.
# Usage then: PYTHON=.venv/bin/python tests/kept/make.sh OUT
set -euo pipefail
repo=$(cd "$(dirname "$0")/../.." && pwd)
python=$(realpath -s "${PYTHON:-python}")
mkdir -p "$1" && cd "$1"  # paths in configs are relative to here
cp "$repo/train.py" . && ln -sfn "$repo/conf" conf
export PYTHONPATH=$repo OMP_NUM_THREADS=1 WANDB_MODE=offline

# Phantoms, made smaller. They are kept, because another kind of CPU draws some of them a little differently.
"$python" - <<'PYTHON'
from pathlib import Path
from PIL import Image
from bus_lightning.data.phantom import draw_phantom

draw_phantom(Path("drawn"), images=84, seed=0)
for kind, number in {"benign": 16, "malignant": 14, "normal": 12}.items():
    Path("data/phantom", kind).mkdir(parents=True)
    for k in range(1, number + 1):
        for file in Path("drawn", kind).glob(f"{kind} ({k})*.png"):
            image = Image.open(file)
            image.convert(image.mode if image.mode != "1" else "L").resize(
                (72, 56), Image.Resampling.NEAREST if "_mask" in file.name else Image.Resampling.BOX
            ).save(Path("data/phantom", kind, file.name), optimize=True)
Path("data/phantom/.phantom.json").write_text('{"images": 42, "seed": 0}')
PYTHON
rm -r drawn

all=(data=phantom data.phantom.images=42 data.split.ratio=[3,1,1] data.batch_size=8 trainer.accelerator=cpu
     trainer.precision=32-true channels_last=false callbacks.progress=null trainer.enable_progress_bar=false
     print_config=false)
small=("+model.net.layers=[1,1,1,1]" "+model.net.channels=[4,4,8,8]" +model.net.stem_type=deep +model.net.stem_width=2)
classifier=(model=efficientnet_lite0 model.name=small_resnet model.weights=null model.net.model_name=resnet18
            "${small[@]}" +model.net.drop_rate=0.2)
unet=(model.name=small_unet model.net.encoder_name=tu-resnet18 "model.net.decoder_channels=[8,8,4,4,4]" "${small[@]}")

# A finished classifier, which can be extended. Its wandb/ is not kept: W&B notes the machine in it.
"$python" train.py "${all[@]}" "${classifier[@]}" data.size=32 trainer.max_epochs=3 keep_last=true name=finished
rm -r runs/classification/finished/wandb

# A classifier that SIGTERM stopped in its second epoch, with an average of its weights and early stopping.
cat > stopped.py <<'PYTHON'
import runpy, signal, sys
import lightning.pytorch as pl
from bus_lightning import fitting

class Stop(pl.Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 1):
            signal.raise_signal(signal.SIGTERM)

build = fitting.build_trainer
fitting.build_trainer = lambda *given, callbacks, **more: build(*given, callbacks=[Stop(), *callbacks], **more)
sys.argv[0] = "train.py"
runpy.run_path("train.py", run_name="__main__")
PYTHON
stopped=("${all[@]}" "${classifier[@]}" data.size=32 trainer.max_epochs=4 optimizer.lr=0.01 "callbacks=[early_stopping,ema]" logger=csv
         name=stopped)
"$python" stopped.py "${stopped[@]}" && exit 1 || [ $? = 143 ]
# The numbers that it reaches when it goes on.
mkdir -p resumed/runs/classification && cp -r runs/classification/stopped resumed/runs/classification
"$python" train.py "${stopped[@]}" runs_dir=resumed/runs
mkdir -p expected && cp resumed/runs/classification/stopped/{history.csv,metrics.json} expected

# One network for both tasks.
"$python" train.py "${all[@]}" model=joint_unet "${unet[@]}" data.size=32 trainer.max_epochs=2 logger=none name=finished

# Both stages, cross-fitted, and their bundle.
stage=("${all[@]}" overlay=predicted data.size=64 data.split.cross_folds=2 trainer.max_epochs=2 logger=none
       group=two_stage)
for fold in null 0 1; do
  "$python" train.py "${stage[@]}" model=unet "${unet[@]}" data.split.cross_fold=$fold name=segmenter-$fold
done
for fold in null 0 1; do
  "$python" train.py "${stage[@]}" "${classifier[@]}" data.split.cross_fold=$fold name=classifier-$fold
done
"$python" -m bus_lightning.diagnosis.export --segmenter runs/two_stage/segmenter-null \
  --classifier runs/two_stage/classifier-null --out-of-fold 'runs/two_stage/classifier-[01]' --out bundle

# What the bundle answered.
"$python" - <<'PYTHON'
import json
from pathlib import Path
from bus_lightning.data.index import read_image
from bus_lightning.diagnosis.bundle import load_bundle
from bus_lightning.diagnosis.diagnosing import Diagnoser
from bus_lightning.diagnosis.frames import Frame

ids = ["benign/benign (2)", "malignant/malignant (6)", "normal/normal (3)"]
frames = [Frame(read_image(Path(f"data/phantom/{id_}.png"))) for id_ in ids]
answers = Diagnoser(load_bundle(Path("bundle")), "fp32").diagnose(frames)
found = {id_: {"probabilities": one.probabilities, "mask": float(one.mask.mean())}
         for id_, one in zip(ids, answers, strict=True)}
Path("expected/diagnosis.json").write_text(json.dumps(found, indent=1) + "\n")
PYTHON

# What is left out: pictures, the classifiers that only calibrate, and the name of the machine. All runs have one
# fingerprints.npz, which is kept once.
rm -r runs/*/*/figures runs/two_stage/classifier-[01] runs/*/.*.lock resumed
ln runs/joint/finished/fingerprints.npz . && rm runs/*/*/fingerprints.npz
sed -i 's/"launch": ".*"/"launch": null/' runs/*/*/status.json
rm -r train.py conf stopped.py data/cache

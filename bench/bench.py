"The fast way against the plain recipe of the lessons, in one run on the same pictures: `make bench`"
import argparse, json, os, platform, random, statistics, subprocess, sys, tempfile, time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch
import torch
from fastai.vision.all import Callback, get_image_files, noop, set_seed
from asl_signs.batches import CachedDL
from asl_signs.cache import get_pixels
from asl_signs.data import get_block, get_data, small_network
from asl_signs.sample import draw_sample
from asl_signs.settings import Settings
from asl_signs.speed import fast_callbacks
from asl_signs.training import new_learner

HERE = Path(__file__).resolve().parent
WORKERS = 0, 1, 2, 4


def loaders(files, settings, fast, workers=None, valid=32):
    "What the lessons make of these pictures: the block of lesson 0, given a list; the last few are for validation"
    block = get_block(settings)
    block.get_items, block.splitter = noop, lambda files: ([*range(len(files) - valid)], [*range(len(files) - valid, len(files))])
    how = dict(dl_type=CachedDL, pixels=get_pixels({*files}, settings.size)) if fast else dict(num_workers=workers)
    return block.dataloaders(files, bs=settings.bs, **how)


def one_pass(dl):
    "Pictures a second of one pass, as far as the processor prepares them"
    start, pictures = time.perf_counter(), 0
    for batch in dl: pictures += len(batch[0])
    return pictures/(time.perf_counter() - start)


def best_workers(files, settings):
    "The number of workers with which the plain recipe decodes fastest"
    return max(WORKERS, key=lambda workers: one_pass(host(loaders(files, settings, False, workers))))


def host(dls): return dls.train.new(after_batch=None)


def alternate(repeats, **ways):
    "Measures each way once in turn, `repeats` times; name -> figures"
    found = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items(): found[name].append(way())
    return found


def summary(found, ours='fast', plain='plain'):
    "Medians, and the ratio of each pair with its median and range"
    ratios = [a/b for a, b in zip(found[ours], found[plain])]
    return dict({name: statistics.median(values) for name, values in found.items()}, ratio=statistics.median(ratios),
                lowest=min(ratios), highest=max(ratios), repeats=len(ratios))


def input_pipeline(files, settings, repeats):
    "Pictures a second, read and put into batches, the device's work left out"
    workers = best_workers(files, settings)
    plain, fast = (host(loaders(files, settings, way, workers)) for way in (False, True))
    one_pass(fast) # the first pass works out the labels
    return summary(alternate(repeats, plain=lambda: one_pass(plain), fast=lambda: one_pass(fast))) | dict(workers=workers, pictures=len(files), size=settings.size)


def building(files, settings, repeats):
    "Pictures a second, decoded into the cache, beside one pass of the plain recipe"
    workers = best_workers(files, settings)
    plain = host(loaders(files, settings, False, workers, valid=0))
    def build():
        with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, ASL_SIGNS_CACHE=folder):
            start = time.perf_counter()
            get_pixels({*files}, settings.size)
            return len({*files})/(time.perf_counter() - start)
    return summary(alternate(repeats, plain=lambda: one_pass(plain), fast=build)) | dict(workers=workers, pictures=len({*files}), size=settings.size)


class Timer(Callback):
    "Pictures a second of the last epoch's training, validation left out"
    order = -100
    def before_train(self): self.start, self.pictures = time.perf_counter(), 0
    def after_batch(self):
        if self.training: self.pictures += len(self.xb[0])
    def after_train(self): self.speed = self.pictures/(time.perf_counter() - self.start)


def training(files, settings, repeats):
    "Pictures a second, trained on with all layers learning"
    workers = best_workers(files, settings)
    def trainer(fast):
        set_seed(42)
        learn, timer = new_learner(loaders(files, settings, fast, workers), settings), Timer()
        learn.unfreeze()
        helpers = [timer, *(fast_callbacks(learn.model, learn.dls.device) if fast else [])]
        def epoch():
            with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4, cbs=helpers)
            return timer.speed
        epoch() # the first one is slower
        return epoch
    return summary(alternate(repeats, plain=trainer(False), fast=trainer(True))) | dict(arch=settings.arch, workers=workers, pictures=len(files), size=settings.size)


def time_to_accuracy(data, settings, repeats, recipe):
    "Seconds until held-out film is read as well as the plain recipe reads it in the end; each repeat with a seed of its own"
    found = dict(plain=[], fast=[], accuracy=[], reached=[])
    for seed in range(repeats):
        seconds, plain = plain_run(data, settings, seed)
        rows = recipe(data, settings, seed)
        enough = [row for row in rows if row[1] >= plain] or [(float('inf'), rows[-1][1])]
        for name, value in dict(plain=seconds, fast=enough[0][0], accuracy=plain, reached=enough[0][1]).items(): found[name].append(value)
    return found


class PeakMemory:
    "The most memory that this process and its workers have held, in MB; what several share is divided among them"
    def __init__(self, *command):
        process, self.peak = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), 0
        while process.poll() is None:
            self.peak = max(self.peak, sum(map(held, family(process.pid))))
            time.sleep(.1)
        assert process.returncode == 0, command


def family(pid):
    "A process and its descendants"
    children = {}
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try: fields = stat.read_text().rsplit(')', 1)[1].split()
        except OSError: continue # ended meanwhile
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for one in found: found += children.get(one, [])
    return found


def held(pid):
    "Memory of one process in MB, its part of what is shared"
    try: lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    except OSError: return 0
    return next((int(line.split()[1])/1e3 for line in lines if line.startswith('Pss:')), 0)

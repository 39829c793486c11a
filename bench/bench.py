"""The fast way against the plain recipe of the lessons, in one run, on the same pictures: `make bench`

The plain recipe is the block of lesson 0 with the number of workers that is fastest here, and the training of lesson 1.
Every comparison alternates between the two; medians, and the ratio of each pair with its median and range, go to
results/bench/. What they mean is told in nbs/train/07_bench.ipynb."""
import argparse, json, os, platform, statistics, subprocess, sys, tempfile, time
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch
from fastai.vision.all import Callback, ChannelsLast, Learner, noop, set_seed
from tqdm import tqdm
from asl_signs.train.loaders import CachedDL
from asl_signs.datasets.rows import get_pixels
from asl_signs.data import get_block, get_data, get_dls, small_network
from asl_signs.datasets.sets import SignData
from asl_signs.datasets.sample import draw_sample
from asl_signs.core.settings import get_settings
from asl_signs.train.callbacks import BFloat16OnCPU, fast_callbacks, train_quickly
from asl_signs.core.cache import as_json, cache_dir, lock, atomic_path
from asl_signs.training import new_learner, train

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 0, 1, 2, 4
LITE0 = 'tf_efficientnet_lite0'


# What is compared

def loaders(files, settings, fast, workers=None, valid=32):
    "What the lessons make of these pictures: the block of lesson 0, given a list; the last few are for validation"
    block, last = get_block(settings), len(files) - valid
    block.get_items, block.splitter = noop, lambda files: ([*range(last)], [*range(last, len(files))])
    how = dict(dl_type=CachedDL, pixels=get_pixels({*files}, settings.size)) if fast else dict(num_workers=workers)
    return block.dataloaders(files, bs=settings.bs, **how)


def host(dls):
    "The training pictures up to where they go to the device"
    return dls.train.new(after_batch=None)


def one_pass(dl):
    "Pictures a second"
    start, pictures = time.perf_counter(), 0
    for batch in dl: pictures += len(batch[0])
    return pictures/(time.perf_counter() - start)


def best_workers(files, settings):
    "The number of workers with which the plain recipe decodes fastest"
    return max(WORKERS, key=lambda workers: one_pass(host(loaders(files, settings, False, workers))))


def compare(repeats, plain, fast):
    "Both in turn; medians, and the ratio of each pair: its median, lowest and highest"
    pairs = [(plain(), fast()) for _ in range(repeats)]
    ratios = [b/a for a, b in pairs]
    return dict(plain=statistics.median(a for a, _ in pairs), fast=statistics.median(b for _, b in pairs),
                ratio=statistics.median(ratios), lowest=min(ratios), highest=max(ratios), repeats=repeats)


# 1 and 2: reading

def input_pipeline(files, settings, repeats, workers=None):
    "Pictures a second, read and put into batches; what the device does is left out"
    if workers is None: workers = best_workers(files, settings)
    plain, fast = (host(loaders(files, settings, way, workers)) for way in (False, True))
    one_pass(fast) # the first pass works out the labels
    return compare(repeats, lambda: one_pass(plain), lambda: one_pass(fast)) | about(files, settings, workers=workers)


def building(files, settings, repeats):
    "Pictures a second, decoded into the cache, beside one pass of the plain recipe"
    files, workers = sorted({*files}), best_workers(files, settings)
    plain = host(loaders(files, settings, False, workers))
    def build():
        with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, ASL_SIGNS_CACHE=folder):
            start = time.perf_counter()
            get_pixels(files, settings.size)
            return len(files)/(time.perf_counter() - start)
    return compare(repeats, lambda: one_pass(plain), build) | about(files, settings, workers=workers)


def about(files, settings, **more): return dict(pictures=len(files), size=settings.size, bs=settings.bs) | more


# 3: training

class Timer(Callback):
    "Pictures a second of the last epoch's training, validation left out"
    order = -100
    def before_train(self): self.start, self.pictures = time.perf_counter(), 0
    def after_batch(self):
        if self.training: self.pictures += len(self.xb[0])
    def after_train(self): self.speed = self.pictures/(time.perf_counter() - self.start)


def as_written(model, device): return []


def trainer(dls, settings, how):
    "A function that trains one epoch, all layers learning, and says how many pictures a second"
    set_seed(42)
    learn, timer = new_learner(dls, settings), Timer()
    learn.unfreeze()
    helpers = [timer, *how(learn.model, learn.dls.device)]
    def epoch():
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4, cbs=helpers)
        return timer.speed
    epoch() # the first one is slower
    return epoch


def training(files, settings, repeats, workers=None):
    "Pictures a second, trained on"
    if workers is None: workers = best_workers(files, settings)
    plain = trainer(loaders(files, settings, False, workers), settings, as_written)
    fast = trainer(loaders(files, settings, True), settings, fast_callbacks)
    return compare(repeats, plain, fast) | about(files, settings, workers=workers, arch=settings.arch)


SWITCHES = {'as written': as_written,
            'channels_last': lambda model, device: [ChannelsLast()],
            'bfloat16': lambda model, device: [BFloat16OnCPU()],
            'both': lambda model, device: [ChannelsLast(), BFloat16OnCPU()]}

def switches(files, settings, repeats):
    "Pictures a second from the cache, by what is switched on; each in turn, and its ratio to the first"
    epochs = {name: trainer(loaders(files, settings, True), settings, how) for name, how in SWITCHES.items()}
    bar = tqdm(range(repeats), f'switches, {settings.arch}')
    rounds = [{name: epoch() for name, epoch in epochs.items()} for _ in bar]
    ratios = {name: sorted(row[name]/row['as written'] for row in rounds) for name in SWITCHES}
    return about(files, settings, arch=settings.arch, repeats=repeats, ways={
        name: dict(speed=statistics.median(row[name] for row in rounds), ratio=statistics.median(ratios[name]),
                   lowest=ratios[name][0], highest=ratios[name][-1]) for name in SWITCHES})


# 4: time to accuracy

class Clock(Callback):
    "Seconds and accuracy after each epoch, everything counted"
    order = 95 # after the row was written
    def __init__(self, start): self.start, self.rows = start, []
    def after_epoch(self): self.rows.append((time.perf_counter() - self.start, float(self.recorder.values[-1][-1])))


def timed_run(data, settings, seed, run):
    "Seconds and accuracy after each epoch, from the pictures on the disk; no cache is left from before"
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, ASL_SIGNS_CACHE=folder):
        new_learner(get_dls(data, get_settings(data, arch=settings.arch, fast=False)), settings) # weights are fetched
        clock = Clock(time.perf_counter())
        set_seed(seed, reproducible=True)
        learn = new_learner(get_dls(data, settings), settings)
        with learn.no_bar(), learn.no_logging(): run(learn, clock)
    return clock.rows


def time_to_accuracy(data, settings, repeats):
    "Seconds until held-out film is read as well as the plain recipe reads it in the end; a seed for each repeat"
    runs = []
    for seed in tqdm(range(repeats), 'time to accuracy'):
        plain = timed_run(data, settings, seed, lambda learn, clock: train(learn, settings, clock))
        ours = replace(settings, fast=True)
        same = timed_run(data, ours, seed, lambda learn, clock: train(learn, ours, clock))
        quick = timed_run(data, ours, seed, lambda learn, clock: train_quickly(learn, 2, 3e-3, clock))
        seconds, goal = plain[-1]
        reached = next((at for at, accuracy in quick if accuracy >= goal), None)
        runs.append(dict(plain=seconds, accuracy=goal, fast=reached, ends=quick[-1][0], ends_with=quick[-1][1],
                         same_recipe=same[-1][0], same_recipe_reads=same[-1][1]))
    return until(runs) | about(data.train, settings, arch=settings.arch)


def until(runs):
    "Medians over runs; one that never got there counts as no faster at all"
    ratios = sorted(run['plain']/run['fast'] if run['fast'] else 0 for run in runs)
    got_there = [run['fast'] for run in runs if run['fast']]
    return dict(ratio=statistics.median(ratios), lowest=ratios[0], highest=ratios[-1],
                repeats=len(runs), reached=len(got_there), runs=runs,
                fast=statistics.median(got_there) if got_there else None,
                **{name: statistics.median(run[name] for run in runs) for name in runs[0] if name != 'fast'})


# 5: memory

def held(pid):
    "Memory of one process in MB; what it shares with others is divided among them"
    try: lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    except OSError: return 0 # it ended meanwhile
    return next((int(line.split()[1])/1000 for line in lines if line.startswith('Pss:')), 0)


def family(pid):
    "A process and its descendants"
    children = {}
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try: children.setdefault(int(stat.read_text().rsplit(')', 1)[1].split()[1]), []).append(int(stat.parent.name))
        except OSError: pass # it ended meanwhile
    found = [pid]
    for one in found: found += children.get(one, [])
    return found


def peak_memory(*arguments):
    "The most memory that a process of this file and its workers hold at once, in MB"
    command, quiet = [sys.executable, __file__, *map(str, arguments)], subprocess.DEVNULL
    process, peak = subprocess.Popen(command, stdout=quiet, stderr=quiet), 0
    while process.poll() is None:
        peak = max(peak, sum(map(held, family(process.pid))))
        time.sleep(.1)
    if process.returncode: raise RuntimeError(f'{arguments} failed')
    return peak


def an_epoch(source, pictures, fast):
    "What `peak_memory` watches: the small network of lesson 0 on so many pictures"
    data = get_data(source, ['train'], people=())
    files = data.train[:pictures]
    learn = Learner(loaders(files, get_settings(data), fast, 2), small_network())
    with learn.no_bar(), learn.no_logging(): learn.fit(1)


def memory(source, counts, repeats):
    "Peak memory in MB for each number of pictures"
    for count in counts: an_epoch(source, count, True) # so that both find what they need
    def both(count):
        return compare(repeats, lambda: peak_memory('plain', source, count), lambda: peak_memory('fast', source, count))
    return [dict(pictures=count, **both(count)) for count in tqdm(counts, 'memory')]


# Pictures

def shared(name): return ROOT.parent/'shared'/'data'/name


def film(name, **drawn):
    "A folder of real pictures where there is one, drawn ones otherwise"
    if shared(name).exists(): return shared(name)
    folder = cache_dir()/f'bench-{name}'
    with lock(folder): return folder if folder.exists() else draw_sample(folder, **drawn)


@contextmanager
def every(data, step):
    "A folder with every so many frames of a film, as links"
    with tempfile.TemporaryDirectory() as folder:
        links = [Path(folder)/file.parent.name/file.name for file in data.train[::step]]
        for link, file in zip(links, data.train[::step]):
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(file)
        yield SignData(links, [], [], data.source)


def growth(measure, cases, repeats):
    "A row for each case"
    return [measure(files, settings, repeats, workers=2) for files, settings in tqdm(cases, measure.__name__)]


def measurements(quick):
    "Every measurement by its name, as a function that makes it"
    repeats, few, part, step = (2, 2, 8, 12) if quick else (5, 3, 1, 3)
    main = get_data(film('96px-28cls', frames=40, side=96), ['train'], people=())
    few_large = get_data(film('200px-28cls', frames=12, side=200), ['train'], people=())
    large = few_large.train*4 # each several times
    source = film('64px-29cls', frames=100, pictures=1, side=64)
    many = get_data(source, ['train'], people=()).train
    lite0 = get_settings(main, arch=LITE0, bs=64)
    resnet = get_settings(arch='resnet18', pretrained=False, bs=64)
    photographs, frames = large[:160 if quick else 512], main.train[:224 if quick else 1312]
    at_64 = get_settings(get_data(source, ['train'], people=()), arch=LITE0, bs=64)
    counts = [len(many)//16, len(many)//8, len(many)//4, len(many)//2, len(many)][:2 if quick else 5]
    at_sizes = [get_settings(arch=LITE0, size=size, bs=64) for size in ([64, 128] if quick else [64, 96, 128, 200])]
    lengths = (320, 640, 1280, 2560)[:2 if quick else 4]
    def until_as_good():
        with every(main, step) as short: return time_to_accuracy(short, lite0, repeats)
    return {
        'input pipeline': lambda: input_pipeline(main.train[::part], lite0, repeats),
        'building the cache': lambda: building(main.train[::part], lite0, repeats),
        'training, resnet18': lambda: training(photographs, resnet, repeats),
        'training, EfficientNet-Lite0': lambda: training(frames, lite0, repeats),
        'switches': lambda: [switches(photographs[:224], resnet, repeats), switches(frames[:672], lite0, repeats)],
        'memory': lambda: memory(source, [len(many)//4, len(many)], 1 if quick else 3),
        'input pipeline by pictures': lambda: growth(input_pipeline, [(many[:count], at_64) for count in counts], few),
        'input pipeline by size': lambda: growth(input_pipeline, [(large[:560], size) for size in at_sizes], few),
        'training by pictures': lambda: growth(training, [(many[:length + 32], at_64) for length in lengths], few),
        'training by size': lambda: growth(training, [(large[:288], settings) for settings in at_sizes], few),
        'time to accuracy': until_as_good}


def bench(known, chosen, file, **about):
    "Measure what is chosen, show it, and put it beside what the file has of the rest"
    figures = json.loads(file.read_text()) if chosen and file.exists() else {}
    for name in chosen or known:
        figures = figures | about | {name: known[name](), 'machine': figures.get('machine', {}) | {name: machine()}}
        tqdm.write(f'{name}: {json.dumps(figures[name])}')
        with atomic_path(file) as part: part.write_text(as_json(figures))


def machine():
    "Where and when it is measured"
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    named = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    versions = {name: version(name) for name in ('asl_signs', 'torch', 'fastai', 'pillow', 'timm')}
    return dict(processor=named[0] if named else platform.processor(), cores=os.cpu_count(),
                python=platform.python_version(), **versions, date=time.strftime('%Y-%m-%d'))


def main():
    "The command line"
    if sys.argv[1:2] in (['plain'], ['fast']): return an_epoch(sys.argv[2], int(sys.argv[3]), sys.argv[1] == 'fast')
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='fewer pictures and repeats: to see that it works')
    parser.add_argument('--to', type=Path, help='where the figures go')
    parser.add_argument('--only', nargs='+', metavar='NAME',
                        help='measure these again, and keep the other figures of the file')
    args = parser.parse_args()
    known = measurements(args.quick)
    file = args.to or ROOT/'results'/'bench'/f'{"quick" if args.quick else "full"}.json'
    if unknown := {*(args.only or [])} - {*known}:
        parser.error(f'{", ".join(unknown)} is not measured here. What is: {", ".join(known)}')
    pictures = 'reduced copies of the archives' if shared('96px-28cls').exists() else 'the drawn sample'
    bench(known, args.only, file, pictures=pictures, quick=args.quick)


if __name__ == '__main__': main()

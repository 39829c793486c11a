"""Does a training by two processes end where one by one process ends? `python results/multi/measure.py FILM`

FILM is a folder with frames of grassknoted/asl-alphabet; every fourth one is taken. Writes processes.json beside this file."""
import json, os, subprocess, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent/'bench')]
from bench import LITE0, every, get_data, machine


def run(processes, folder, **settings):
    "What the first process of a training says in the end; each has its share of two cores"
    with TemporaryDirectory() as cache:
        env = os.environ | dict(OMP_NUM_THREADS=str(2//processes), ASL_SIGNS_CACHE=cache)
        command = ['torchrun', '--nproc_per_node', processes, HERE.parent.parent/'tests'/'two_processes.py', folder, cache, json.dumps(settings)]
        subprocess.run([*map(str, command)], env=env, capture_output=True, check=True)
        told = [json.loads(file.read_text()) for file in sorted(Path(cache).glob('?.json'))]
    return dict(seed=settings['seed'], processes=len(told), **{name: told[0][name] for name in ('accuracy', 'pictures', 'bs')})


settings, runs = dict(arch=LITE0, fast=True), []
film = get_data(sys.argv[1], ['train'])
with every(film, 4) as short:
    folder, frames = str(short.train[0].parent.parent), len(short.train)
    for seed, processes in tqdm([(seed, processes) for seed in range(3) for processes in (1, 2)]):
        runs.append(run(processes, folder, seed=seed, **settings))
facts = dict(data=f'every fourth frame of the film at {film.size} pixels', frames=frames, settings=settings, machine=machine())
(HERE/'processes.json').write_text(json.dumps(facts | dict(runs=runs), indent=1)+'\n')

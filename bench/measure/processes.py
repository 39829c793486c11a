"""Does a training by two processes end where one by one process ends? `python bench/measure/processes.py FILM`

FILM is a folder with frames of grassknoted/asl-alphabet; every fourth one is taken. Writes
results/multi/processes.json."""
import json, os, subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from tqdm import tqdm

from measuring import RESULTS, ROOT, parser
from bench import LITE0, every, get_data, machine

SETTINGS = dict(arch=LITE0, fast=True)


def run(processes, folder, **settings):
    "What the first process of a training says in the end; each has its share of two cores"
    with TemporaryDirectory() as cache:
        env = os.environ | dict(OMP_NUM_THREADS=str(2//processes), ASL_SIGNS_CACHE=cache)
        script = ROOT/'tests'/'two_processes.py'
        command = ['torchrun', '--nproc_per_node', processes, script, folder, cache, json.dumps(settings)]
        subprocess.run([*map(str, command)], env=env, capture_output=True, check=True)
        said = [json.loads(file.read_text()) for file in sorted(Path(cache).glob('?.json'))]
    facts = {name: said[0][name] for name in ('accuracy', 'pictures', 'bs')}
    return dict(seed=settings['seed'], processes=len(said), **facts)


def main(argv=None):
    "Train three times by one process and three times by two, and write down what they read"
    args, runs = parser(__doc__), []
    args.add_argument('film', help='a folder')
    film = get_data(args.parse_args(argv).film, ['train'], people=())
    with every(film, 4) as short:
        folder, frames = str(short.train[0].parent.parent), len(short.train)
        for seed, processes in tqdm([(seed, processes) for seed in range(3) for processes in (1, 2)]):
            runs.append(run(processes, folder, seed=seed, **SETTINGS))
    facts = dict(data=f'every fourth frame of the film at {film.size} pixels', frames=frames, settings=SETTINGS,
                 machine=machine())
    (RESULTS/'multi'/'processes.json').write_text(json.dumps(facts | dict(runs=runs), indent=1)+'\n')



if __name__ == '__main__': main()

"""The reader that ships against a pickled learner: `python bench/reading.py [--pictures FOLDER] [--out FILE]`

The learner is that of the lessons (resnet18 at 200 pixels), exported by `learn.export` and loaded by `load_learner`.
It reads in two ways: by `learn.predict`, as in lesson 3, and as in the original work, in a loop that opens each
picture, predicts, and takes the probability. Both read the same files in the same run, in turn; medians, and the
ratio of each pair with its median and range. Accuracy does not matter here, so the weights are not trained."""
import argparse, json, os, platform, statistics, subprocess, sys, tempfile, time
from importlib.metadata import version
from pathlib import Path
from asl_signs.data import get_data, get_dls
from asl_signs.core.settings import get_settings
from asl_signs.runtime.reader import SignReader, pictures_below, reason_against_hands

ROOT = Path(__file__).resolve().parent.parent
STATUS = 'open("/proc/self/status")'
PEAK = f'print([int(line.split()[1])/1024 for line in {STATUS} if line.startswith("VmHWM")][0])' # MB, on Linux
READER = 'from asl_signs.inference import SignReader; reader = SignReader(hands=False); reader.read({picture!r})'
LEARNER = """from pathlib import Path
from fastai.vision.all import load_learner
learn = load_learner({pickle!r})
with learn.no_bar(): learn.predict(Path({picture!r}))"""


def pickled_learner(to):
    "The lessons' learner, as lesson 3 exports it"
    from fastai.vision.all import accuracy, vision_learner, resnet18
    data = get_data('sample')
    dls = get_dls(data, get_settings(data, arch='resnet18', size=200))
    vision_learner(dls, resnet18, metrics=accuracy, pretrained=False).export(to)
    return to


def seconds(run):
    "How long something takes"
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def in_turn(repeats, plain, ours):
    "Seconds of both, alternating; the ratio of each pair"
    pairs = [(seconds(plain), seconds(ours)) for _ in range(repeats)]
    ratios = sorted(a/b for a, b in pairs)
    return dict(plain=statistics.median(a for a, _ in pairs), ours=statistics.median(b for _, b in pairs),
                ratio=statistics.median(ratios), lowest=ratios[0], highest=ratios[-1], runs=repeats)


def fresh(code):
    "A new process, and the megabytes it needed at most"
    command = [sys.executable, '-W', 'ignore', '-c', f'{code}\n{PEAK}']
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return float(done.stdout.split()[-1])


def run_inference(learn, files):
    "As the original work read, picture by picture"
    for file in files:
        sign, number, probs = learn.predict(file)
        float(probs[number])


def about(files, folder):
    "Where, when and with what it is measured"
    versions = {name: version(name) for name in ('torch', 'fastai', 'onnxruntime')}
    machine = dict(processor=platform.processor() or platform.machine(), cores=os.cpu_count(),
                   python=platform.python_version(), date=time.strftime('%Y-%m-%d'), versions=versions)
    return dict(machine=machine, pictures=f'{len(files)} of {Path(folder).name if folder else "the drawn sample"}')


def fresh_processes(pickle, picture, repeats):
    "Seconds to the first answer, and the memory it takes"
    commands = [code.format(pickle=pickle, picture=picture) for code in (LEARNER, READER)]
    plain, ours = (statistics.median(fresh(code) for _ in range(3)) for code in commands)
    return {'first answer of a fresh process': in_turn(repeats, *[lambda code=code: fresh(code) for code in commands]),
            'memory, MB': dict(plain=plain, ours=ours, ratio=plain/ours)}


def without_hands(pickle, some, many, repeats):
    "Seconds for a few pictures one after another, and for many"
    from fastai.vision.all import load_learner
    learn, reader = load_learner(pickle), SignReader(hands=False)
    def few_by_learner():
        for file in some: learn.predict(file)
    def few_by_reader():
        for file in some: reader.read(file)
    def many_by_reader():
        for _ in reader.read_many(many, progress=False): pass
    with learn.no_bar(), learn.no_logging():
        learn.predict(some[0]), reader.read(some[0]) # what is loaded first is not counted
        one = in_turn(repeats, few_by_learner, few_by_reader)
        more = in_turn(max(1, repeats//2), lambda: run_inference(learn, many), many_by_reader)
    return {'one picture': one | dict(pictures=len(some)),
            "many pictures, against the original's loop": more | dict(pictures=len(many))}


def with_hands(views, some, many, repeats):
    "Pictures a second, one after another and many together"
    reader = SignReader(hands=True, views=views)
    reader.read(some[0])
    rates = [len(some)/seconds(lambda: [reader.read(file) for file in some]) for _ in range(repeats)]
    together = [len(many)/seconds(lambda: [*reader.read_many(many, progress=False)])
                for _ in range(max(1, repeats//2))]
    return dict(one_by_one=statistics.median(rates), many=statistics.median(together))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--pictures', help='a folder with pictures (default: the drawn sample)')
    parser.add_argument('--out', default=ROOT/'results'/'inference'/'speed.json', type=Path)
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    files = pictures_below(args.pictures) if args.pictures else get_data('sample').second_test
    some, many = (files[::max(1, len(files)//number)][:number] for number in (20, 200)) # of all signs
    found = about(files, args.pictures)
    with tempfile.TemporaryDirectory() as folder:
        pickle = str(pickled_learner(Path(folder)/'sign_language.pkl'))
        found |= fresh_processes(pickle, str(files[0]), args.repeats)
        found |= without_hands(pickle, some, many, args.repeats)
    if not reason_against_hands():
        for views in (1, 4):
            name = f'with hands, {views} view{"s"[:views > 1]}, a second'
            found[name] = with_hands(views, some, many, args.repeats)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1)+'\n')
    print(json.dumps(found, indent=1))


if __name__ == '__main__': main()

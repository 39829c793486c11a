"""The reader that ships against a pickled learner: `python bench/reading.py [--pictures FOLDER] [--out FILE]`

The learner is that of the lessons (resnet18 at 200 pixels), exported by `learn.export` and loaded by `load_learner`. It is asked in two ways: `learn.predict`, as
lesson 3 does, and as the original work asked it, in a loop that opens each picture, predicts, and looks up the probability. Both read the same files in the same run,
in turn; medians, and the ratio of each pair with its median and range. How it reads does not matter here, so its weights are those it began with."""
import argparse, json, os, platform, statistics, subprocess, sys, tempfile, time
from importlib.metadata import version
from pathlib import Path
from asl_signs.data import get_data, get_dls
from asl_signs.core.settings import get_settings
from asl_signs.runtime.reader import SignReader, pictures_below, reason_against_hands

ROOT = Path(__file__).resolve().parent.parent
PEAK = 'print([int(line.split()[1])/1024 for line in open("/proc/self/status") if line.startswith("VmHWM")][0])' # MB, on Linux
READER = 'from asl_signs.inference import SignReader; reader = SignReader(hands=False); reader.read({picture!r})'
LEARNER = 'from pathlib import Path; from fastai.vision.all import load_learner; learn = load_learner({pickle!r})\nwith learn.no_bar(): learn.predict(Path({picture!r}))'


def pickled_learner(to):
    "The lessons' learner, as lesson 3 exports it"
    from fastai.vision.all import accuracy, vision_learner, resnet18
    data = get_data('sample')
    learn = vision_learner(get_dls(data, get_settings(data, arch='resnet18', size=200)), resnet18, metrics=accuracy, pretrained=False)
    learn.export(to)
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
    return dict(plain=statistics.median(a for a, _ in pairs), ours=statistics.median(b for _, b in pairs), ratio=statistics.median(ratios), lowest=ratios[0], highest=ratios[-1], runs=repeats)


def fresh(code):
    "A new process, and the megabytes it needed at most"
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', f'{code}\n{PEAK}'], check=True, capture_output=True, text=True, cwd=ROOT)
    return float(done.stdout.split()[-1])


def run_inference(learn, files):
    "As the original work asked its learner, picture by picture"
    for file in files:
        sign, number, chances = learn.predict(file)
        float(chances[number])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--pictures', help='a folder with pictures (default: the drawn sample)')
    parser.add_argument('--out', default=ROOT/'results'/'inference'/'speed.json', type=Path)
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args()
    files = pictures_below(args.pictures) if args.pictures else get_data('sample').second_test
    some, many = (files[::max(1, len(files)//number)][:number] for number in (20, 200)) # of all signs
    one = str(files[0])
    found = dict(machine=dict(processor=platform.processor() or platform.machine(), cores=os.cpu_count(), python=platform.python_version(), date=time.strftime('%Y-%m-%d'),
                              versions={name: version(name) for name in ('torch', 'fastai', 'onnxruntime')}), pictures=f'{len(files)} of {Path(args.pictures).name if args.pictures else "the drawn sample"}')
    with tempfile.TemporaryDirectory() as folder:
        pickle = str(pickled_learner(Path(folder)/'sign_language.pkl'))
        commands = [code.format(pickle=pickle, picture=one) for code in (LEARNER, READER)]
        found['first answer of a fresh process'] = in_turn(args.repeats, *[lambda code=code: fresh(code) for code in commands])
        megabytes = [statistics.median(fresh(code) for _ in range(3)) for code in commands]
        found['memory, MB'] = dict(plain=megabytes[0], ours=megabytes[1], ratio=megabytes[0]/megabytes[1])
        from fastai.vision.all import load_learner
        learn, reader = load_learner(pickle), SignReader(hands=False)
        with learn.no_bar(), learn.no_logging():
            learn.predict(files[0]), reader.read(one) # what is loaded first is not counted
            found['one picture'] = in_turn(args.repeats, lambda: [learn.predict(file) for file in some], lambda: [reader.read(file) for file in some]) | dict(pictures=len(some))
            found['many pictures, against the original\'s loop'] = in_turn(max(1, args.repeats//2), lambda: run_inference(learn, many), lambda: [*reader.read_many(many, progress=False)]) | dict(pictures=len(many))
    if not reason_against_hands():
        for views in (1, 4):
            reader = SignReader(hands=True, views=views)
            reader.read(one)
            rates = [len(some)/seconds(lambda: [reader.read(file) for file in some]) for _ in range(args.repeats)]
            together = [len(many)/seconds(lambda: [*reader.read_many(many, progress=False)]) for _ in range(max(1, args.repeats//2))]
            found[f'with hands, {views} view{"s"[:views > 1]}, a second'] = dict(one_by_one=statistics.median(rates), many=statistics.median(together))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1)+'\n')
    print(json.dumps(found, indent=1))


if __name__ == '__main__': main()

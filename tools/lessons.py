"""Runs the lessons into a report, and renews what the repository keeps of them: the command behind `make run`

Each lesson runs in a Python of its own, because it must also work for a reader who opens only this one; and one after
another, because a lesson takes up what the one before has trained. Three things matter to whoever waits: that something
moves, that what is bound to fail fails at once, and that an earlier report is not lost when a new one fails.

What has a sentence of its own (`DataError`, `LessonError`) is said in it, without a traceback, and the command ends
with status 1, so that `make` stops. Any other error is a fault of this program, and keeps its traceback."""
import argparse, asyncio, os, platform, re, sys, time
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext, redirect_stderr, suppress
from importlib.metadata import version
from importlib.util import find_spec
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from PIL import Image
from tqdm import tqdm
from traitlets.config import Config
from asl_signs.core.cache import CacheError, as_json, atomic_path, recorded
from asl_signs.datasets.archives import DataError, split_paths
from asl_signs.datasets.film import FilmError
from pages import headings, write_readme
from report import accuracy_rows, fronts_in, index_page, lessons_in, parts_in, replace_folder, write_pages
from stamps import address, stamp


def progress_in(message:dict # from a Jupyter kernel
               ) -> str:     # e.g. '25% of 4, 36% of 48' (epochs, then batches), or '' where there is no bar
    "What the progress bars in a message say"
    html = message.get('content', {}).get('data', {}).get('text/html', '')
    return ', '.join(f'{percent}% of {total}' for percent, total in re.findall(r'(\d+)\.\d\d% \[\d+/(\d+)', html))


class Progress:
    "How far a run is: one line on a terminal, and in a log a line for each section, without control characters"
    def __init__(self,
                 cells:int # of all notebooks together
                ):
        # `disable=None`: no bar where the output is no terminal.
        self.bar = tqdm(total=cells, bar_format='{percentage:3.0f}% {elapsed} {desc}', disable=None, dynamic_ncols=True)
        self.where = ''

    def at(self,
           where:str, # lesson and section
           cells:int  # how many of this notebook are done
          ):
        "Say where the run is"
        if self.bar.disable and where != self.where: print(where, file=sys.stderr, flush=True)
        self.where = where
        self.bar.set_description_str(where, refresh=False)
        self.bar.update(self.before + cells - self.bar.n)

    def detail(self,
               words:str # e.g. '25% of 4'
              ):
        "Say how far a section is, on a terminal only"
        self.bar.set_description_str(f'{self.where}: {words}')

    def __enter__(self):
        self.before = 0 # cells of the notebooks that are done
        return self

    def __exit__(self, *_): self.bar.close()


INTERRUPTS, PATIENCE = 4, 15 # how many before Python is ended; seconds after each, for a cell to clean up undisturbed


class Visible(NotebookClient):
    "A notebook client with a line of progress: cells done, the section, and how far training is"
    # The section says more to a person than the number of a cell. nbclient calls `on_cell_start` when a cell starts,
    # and `process_message` with each message of the kernel: these two places are used, the rest is Jupyter's.
    def watch(self,
              name:str,         # of the notebook
              progress:Progress # of the run
             ):                 # the client itself
        "Show how far the notebook is"
        self.name, self.progress, self.section, self.loop = name, progress, '', None
        self.stopped, self.asked = False, 0
        self.on_cell_start = self._start
        return self

    def stop(self):
        "End the run from another thread: the cell at work is interrupted and cleans up, no other is started"
        # An interrupt between the end of a cell and its reply loses the reply, and no further one helps: if several
        # have ended nothing, Python itself is ended.
        self.stopped = True # also if no cell is at work that could be interrupted
        # This is another thread than the client's, so its own loop is asked.
        if not (self.loop and self.km): return
        self.asked += 1
        if self.asked > INTERRUPTS + 1: return
        ask = self.km.interrupt_kernel if self.asked <= INTERRUPTS else self.km.shutdown_kernel
        with suppress(RuntimeError): self.loop.call_soon_threadsafe(self._begin, ask) # it has just been closed

    def _begin(self, ask): # within the loop: one that ends before leaves no coroutine behind that nobody awaits
        self.asking = asyncio.ensure_future(ask())

    def _start(self, cell, cell_index):
        if self.stopped: raise KeyboardInterrupt
        self.loop = asyncio.get_running_loop()
        self.section = headings(self.nb.cells[:cell_index])[-1]
        self.progress.at(f'{self.name}: {self.section}' if self.section else self.name, cell_index)

    def process_message(self,
                        msg:dict,      # from the kernel
                        cell,          # the cell it belongs to
                        cell_index:int # its place
                       ):              # whatever the client makes of it
        "What the client does with each message, and a look at it"
        if words := progress_in(msg): self.progress.detail(words)
        return super().process_message(msg, cell, cell_index)


class LessonError(RuntimeError):
    "A lesson that failed; the message says where and why"


# Kernels listen on a port of this machine: where Jupyter can encrypt what goes through it, it should. And they
# have time to clean up when they end: by default a busy machine kills them before they have.
KERNEL = Config(KernelManager=dict(transport_encryption='auto', shutdown_wait_time=60))


def run_notebook(path:Path,         # a notebook
                 progress:Progress, # of the run
                 folder:Path        # in which it runs
                ):                  # the same, with outputs; LessonError if a cell fails
    "Run a notebook from top to bottom in a fresh kernel"
    nb = nbformat.read(path, 4)
    client = Visible(nb, timeout=None, resources={'metadata': {'path': str(folder)}}, config=KERNEL)
    try: _execute(client.watch(path.stem, progress))
    except CellExecutionError as e: why = f'{e.ename}: {e.evalue}'
    except DeadKernelError: why = 'Python ended without a word, most often because the memory was full.'
    else:
        progress.before += len(nb.cells)
        return nb
    raise LessonError(f'{path.name}, section "{client.section}": {why}')


def _execute(client):
    # In a thread, so that Ctrl-C reaches us: left to itself, the client pulls the kernel away from under a cell, and a
    # file that was being written stays behind.
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.execute)
        while not running.done():
            try:
                if client.stopped: client.stop() # more than once: Python ignores an interrupt that meets a destructor
                wait([running], timeout=PATIENCE)
            except KeyboardInterrupt: client.stopped = True
    if client.stopped: raise KeyboardInterrupt
    running.result()


def facts(data,     # what `get_data` returned
          settings  # what `get_settings` returned
         ) -> dict: # for `metrics.json`
    "What the numbers of a run depend on: what was found and set, not what was asked for"
    pictures = {name: len(getattr(data, name)) for name in ('train', 'small_test', 'second_test')}
    packages = [name for name in ('asl_signs', 'fastai', 'torch', 'timm') if find_spec(name)]
    return dict(data=dict(source=data.source, found=repr(data), note=data.note, **pictures), settings=vars(settings),
                machine=_machine(), date=time.strftime('%Y-%m-%d'),
                versions={'python': platform.python_version(), **{name: version(name) for name in packages}})


def _machine():
    import torch
    if torch.cuda.is_available(): return torch.cuda.get_device_name()
    return f'{os.cpu_count()} processor cores, no graphics card'


def check_first(source:str # as for `get_data`
               ):          # (data, settings); DataError or LessonError if the lessons would fail
    "Make sure, before any time is spent, that the lessons have what they need"
    # Imported here, as the other tasks need no torch. What is quick to find out comes first; the learner is made and
    # thrown away, since the film may be too short to be split, and weights may have to be fetched.
    from asl_signs.data import get_data, get_dls
    from asl_signs.core.settings import get_settings
    from asl_signs.train.backbones import WeightsError
    from asl_signs.training import new_learner
    try: get_settings() # said before any picture is looked at
    except ValueError as e: raise LessonError(str(e)) from e
    data = get_data(source)
    settings = get_settings(data)
    try: new_learner(get_dls(data, settings), settings)
    except FilmError as e: raise LessonError(f'{e} With make: make run DATA=... SPLIT=random') from e
    except WeightsError as e: raise LessonError(f'{e} With make: make run DATA=... ARCH=tf_efficientnet_lite0') from e
    return data, settings


def check_target(to:Path # where the report is to go
                ):       # DataError if something else is there
    "Refuse to replace a folder that is not a report"
    if to.exists() and not (to.is_dir() and ((to/'metrics.json').exists() or not any(to.iterdir()))):
        raise DataError(f'{to} exists and is not the report of an earlier run. Move it away, or choose another folder '
                        f'for the report (REPORT=).')


def run_all(paths,       # notebooks
            source:str,  # as for `get_data`
            out:Path,    # where they put their results
            apart=False  # each in an empty folder, as on a machine that has only the library? Otherwise in its own
           ):            # yields (name, notebook with outputs, seconds)
    "Run notebooks one after the other on the same pictures"
    # Kernels inherit the variables that a person would set, so no lesson has to know that it is run from here.
    quiet = 'ignore:`torch.jit.script` is deprecated,ignore:IProgress not found'
    os.environ.update(ASL_SIGNS_DATA=source, ASL_SIGNS_OUT=str(out), PYTHONWARNINGS=quiet)
    with Progress(sum(len(nbformat.read(path, 4).cells) for path in paths)) as progress:
        for path in paths:
            start = time.time()
            with TemporaryDirectory() as empty: nb = run_notebook(path, progress, Path(empty) if apart else path.parent)
            yield path.stem, nb, round(time.time() - start, 1)


def run_lessons(source:str, # 'sample', 'kaggle', or folders separated as in PATH
                nbs:Path,   # the folder of notebooks
                to:Path     # the report's folder
               ) -> dict:   # what `metrics.json` holds
    "Run all lessons and leave a report"
    check_target(to)
    # In a log the bars of what is looked at would be lines that overwrite each other.
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(StringIO()): found = check_first(source)
    metrics = facts(*found)
    print(metrics['data']['found'])
    to.parent.mkdir(parents=True, exist_ok=True)
    # Made in a hidden folder beside its place, and renamed last: whatever fails before, the earlier report stands.
    with TemporaryDirectory(dir=to.parent, prefix='.making-') as folder:
        (part := Path(folder)/to.name).mkdir()
        done = list(run_all(lessons_in(nbs), source, part, apart=True))
        ran, metrics['seconds'] = {name: nb for name, nb, _ in done}, {name: seconds for name, _, seconds in done}
        metrics['accuracies'] = recorded(part/'metrics.json')
        (part/'metrics.json').write_text(as_json(metrics))
        captions = write_pages(ran, nbs, part)
        (part/'index.html').write_text(index_page(metrics, ran, nbs, part, captions), encoding='utf-8')
        replace_folder(part, to)
    return metrics


def shrink(png:str,         # base64
           most:int=40_000  # characters of base64 from which on a JPEG is tried
          ) -> dict:        # {'image/png': base64}, or {'image/jpeg': base64}
    "A figure with at most 256 colours, or as a JPEG where that is much smaller"
    picture = Image.open(BytesIO(b64decode(png))).convert('RGB')
    small = _encoded(picture.quantize(256, dither=Image.Dither.NONE), 'png', optimize=True)
    if len(small) < most: return {'image/png': small}
    jpeg = _encoded(picture, 'jpeg', quality=60, optimize=True)
    return {'image/jpeg': jpeg} if len(jpeg) < .7*len(small) else {'image/png': small}


def _encoded(picture, kind, **how):
    file = BytesIO()
    picture.save(file, kind, **how)
    return b64encode(file.getvalue()).decode()


def is_noise(output # of a notebook's cell
            ) -> bool: # True: a reader can do without
    "Is this a library's message, or the remains of a progress bar, which are tags and styles without text?"
    html = ''.join(output.get('data', {}).get('text/html', 'text'))
    return output.get('name') == 'stderr' or not re.sub(r'<style>.*?</style>|<[^>]+>|\s', '', html, flags=re.S)


def tidy(nb # with outputs; changed in place
        ):  # the same notebook
    "Make a notebook's outputs small"
    for cell in nb.cells:
        if cell.cell_type == 'code': cell.outputs = [o for o in cell.outputs if not is_noise(o)]
        for data in [o.data for o in cell.get('outputs', []) if 'image/png' in o.get('data', {})]:
            data.update(shrink(data.pop('image/png')))
    return nb


def refresh(paths # notebooks
           ):
    "Run notebooks on the drawn sample, which is ours to show, and save their outputs in them, each when it has run"
    with TemporaryDirectory() as out:
        for path, (_, nb, _) in zip(paths, run_all(paths, 'sample', Path(out))):
            with atomic_path(path) as part: nbformat.write(tidy(nb), part)


def stamp_lessons(nbs:Path # the folder of notebooks
                 ):
    "Write the first cells of every lesson, with the project's address"
    for path in lessons_in(nbs):
        nb = stamp(nbformat.read(path, 4), path, address())
        with atomic_path(path) as part: nbformat.write(nb, part)


def parse(argv # a list; None: what was typed
         ) -> argparse.Namespace: # task, notebooks, data, report, nbs
    "The arguments of the command line"
    parser = argparse.ArgumentParser(prog='python tools/lessons.py', description=
        'run: all lessons, into a report; refresh: new outputs in the notebooks; readme: README.md from index.ipynb; '
        'stamp: the project\'s address into the lessons')
    parser.add_argument('task', choices=('run', 'refresh', 'readme', 'stamp'))
    parser.add_argument('notebooks', nargs='*', type=Path, help='for refresh: which notebooks (default: all)')
    parser.add_argument('--data', default='sample',
                        help='sample, kaggle, or folders separated as in PATH (default: sample)')
    parser.add_argument('--report', default='report', type=Path, help='where the report goes (default: report)')
    parser.add_argument('--nbs', default='nbs', type=Path, help='the folder of notebooks (default: nbs)')
    return parser.parse_args(argv)


def absolute(source:str # as for `get_data`
            ) -> str:   # the same, whatever the current folder
    "A source whose folders do not depend on the current one: kernels start in the folder of their notebook"
    if source in ('sample', 'kaggle', 'none'): return source
    return os.pathsep.join(str(Path(folder).expanduser().resolve()) for folder in split_paths(source))


def show(metrics:dict, # what `metrics.json` holds
         report:Path   # the report's folder
        ):
    "Print the accuracies, and where to look"
    print('\nRead correctly')
    for name, share, of in accuracy_rows(metrics['accuracies']): print(f'  {name:38} {share:>7}  {of}')
    if metrics['data']['note']: print(f'  The pictures are {metrics["data"]["note"]}.')
    print(f'\nOpen {report/"index.html"} in a browser; beside it are metrics.json, figures/ and sign_language.pkl.')


def main(argv=None # arguments; None: those of the command line
        ) -> int:  # exit status
    "The command behind `make run`"
    args = parse(argv)
    nbs = args.nbs.resolve()
    try:
        if args.task == 'run': show(run_lessons(absolute(args.data), nbs, args.report.resolve()), args.report)
        elif args.task == 'refresh': refresh(args.notebooks or [*lessons_in(nbs), *parts_in(nbs), *fronts_in(nbs)])
        else: dict(readme=write_readme, stamp=stamp_lessons)[args.task](nbs)
        return 0
    except (CacheError, DataError, LessonError) as e: print(f'\n{e}', file=sys.stderr)
    except KeyboardInterrupt:
        print('\nInterrupted. Nothing is left half-done; the same command starts again.', file=sys.stderr)
    return 1


if __name__ == '__main__': sys.exit(main())

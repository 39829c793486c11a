"Reading in odd surroundings: other users, no home, broken libraries, forks; what leaves the machine, or is printed"
import os, pickle, re, shutil, subprocess, sys, threading, warnings
from importlib.util import find_spec
from pathlib import Path
import onnxruntime
import pytest
from asl_signs.runtime import finder as finding, hand_model as model
from asl_signs.datasets.drawing import portrait
from asl_signs.runtime.finder import HandFinder, quiet
from asl_signs.runtime.landmarks import HandsError
from asl_signs.runtime.reader import SignReader
from asl_signs.core.cache import QUIET

TESTS = Path(__file__).resolve().parent
PLACES = [Path(os.environ.get('ASL_SIGNS_HAND_MODEL') or 'nowhere'),
          TESTS.parent.parent/'shared'/'data'/'hand_landmarker.task']
TASK = next((file for file in PLACES if file.is_file()), None)
mediapipe = pytest.mark.skipif(not (TASK and find_spec('mediapipe')),
                               reason='needs mediapipe, and its weights in ASL_SIGNS_HAND_MODEL or ../shared/data')
root = pytest.mark.skipif(os.name != 'posix' or os.geteuid() != 0, reason='only root may become another user')
forks = pytest.mark.skipif(not hasattr(os, 'fork'), reason='this system does not fork')
WAIT = 300 # seconds, before a process is said to hang


def python(script, home=None, **environment):
    "A Python process that runs a script, with nothing set that would decide about telemetry, caches or weights"
    unset = {*QUIET, 'ASL_SIGNS_CACHE', 'ASL_SIGNS_HAND_MODEL', 'XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME',
             'XDG_STATE_HOME'}
    known = {name: value for name, value in os.environ.items() if name not in unset}
    if home: known['HOME'] = str(home)
    known['PYTHONPATH'] = os.pathsep.join([str(TESTS.parent), os.environ.get('PYTHONPATH', '')])
    command = script if isinstance(script, list) else [sys.executable, '-c', script]
    return subprocess.run(command, env=known | {name: str(value) for name, value in environment.items()},
                          capture_output=True, text=True, timeout=WAIT)


def left_in(home): # but for matplotlib's list of fonts, which it makes once
    return [str(file.relative_to(home)) for file in Path(home).rglob('*') if file.is_file()
            and 'matplotlib' not in str(file) and 'fontconfig' not in str(file)]


# What leaves the machine

ASKED = '''if True:
    import socket
    asked, usual = [], socket.getaddrinfo
    def ask(host, *rest, **more):
        asked.append(host)
        return usual(host, *rest, **more)
    socket.getaddrinfo = ask
    from PIL import Image
    from asl_signs.runtime.reader import SignReader
'''
READS = ASKED + '''
    print(SignReader(hands=False).read(Image.new('RGB', (99, 99))).best, asked)'''
IMPORTS = ASKED + '''
    import sys, asl_signs.data, asl_signs.train.backbones, asl_signs.models.export, asl_signs.multi
    from asl_signs.app import load_gradio
    load_gradio()
    SignReader(hands=False).read(Image.new('RGB', (99, 99)))
    print(*sorted({'timm', 'gradio', 'huggingface_hub', 'onnxruntime'} & {*sys.modules}), asked)'''


def test_reading_leaves_nothing_in_the_home_folder_and_asks_for_no_host(tmp_path):
    done = python(READS, tmp_path)
    assert done.stdout.split()[1:] == ['[]'], done.stderr
    assert left_in(tmp_path) == []


@pytest.mark.skipif(not find_spec('gradio'), reason='needs gradio')
def test_nor_does_any_library_that_is_imported(tmp_path):
    done = python(IMPORTS, tmp_path)
    assert done.stdout.split()[-1] == '[]' and 'gradio huggingface_hub onnxruntime' in done.stdout, done.stderr
    assert left_in(tmp_path) == []


LOOKS = '''if True:
    import numpy as np
    from asl_signs.runtime.finder import HandFinder
    for _ in range(2):
        with HandFinder() as finder: finder.find(np.zeros((90, 60, 3), np.uint8))
    HandFinder().find(np.zeros((90, 60, 3), np.uint8)) # closed by the end of the process
    print('looked')'''


@mediapipe
@pytest.mark.skipif(not shutil.which('strace') or sys.platform != 'linux', reason='needs strace')
def test_mediapipe_looks_up_no_host(tmp_path):
    log = tmp_path/'calls'
    done = python(['strace', '-f', '-qq', '-e', 'trace=connect,sendto,sendmmsg', '-o', str(log), sys.executable, '-c',
                   LOOKS], tmp_path, ASL_SIGNS_HAND_MODEL=TASK)
    if 'ptrace' in done.stderr: pytest.skip('strace may not look at processes here')
    assert 'looked' in done.stdout, done.stderr
    assert not [line for line in log.read_text().splitlines() if 'AF_INET' in line or 'googleapis' in line]


@mediapipe
def test_mediapipe_has_no_certificates_to_report_with(monkeypatch):
    from mediapipe.tasks.python import vision
    seen = {}
    monkeypatch.setattr(vision.HandLandmarker, 'create_from_options',
                        lambda options: seen.update(options=options.base_options.to_ctypes()))
    finding.load_landmarker(TASK, .5)
    assert not Path(os.fsdecode(seen['options'].ca_bundle_path)).exists()


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere threads keep the internet')
def test_only_the_thread_that_asks_for_it_is_offline():
    script = '''if True:
        import socket
        from concurrent.futures import ThreadPoolExecutor
        from asl_signs.runtime.finder import offline
        def reachable(kind):
            try: socket.socket(kind).close()
            except PermissionError: return False
            return True
        kinds = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
        with ThreadPoolExecutor(1, initializer=offline) as pool: print(*pool.map(reachable, kinds))
        print(*map(reachable, kinds))'''
    assert python(script).stdout.splitlines() == ['False False True', 'True True True']


# What reaches the terminal

@mediapipe
def test_mediapipe_writes_nothing_on_the_terminal(tmp_path):
    done = python(LOOKS, tmp_path, ASL_SIGNS_HAND_MODEL=TASK, ASL_SIGNS_CACHE=tmp_path)
    assert (done.stdout.strip(), done.stderr) == ('looked', '')


OWN = (b'INFO: [environment.cc:36] Creating LiteRT environment\nW0000 00:00:1795.5  8987 x.cc:1] not aligned\n'
       b'WARNING: Logging before InitGoogle() is written to STDERR\n')

def test_what_others_write_meanwhile_arrives(capfd):
    with quiet():
        os.write(2, OWN + b'Traceback of another thread\n\rreading:  10%' + OWN + b'E0000 an error\n')
        assert capfd.readouterr().err == ''
    assert capfd.readouterr().err == 'Traceback of another thread\n\rreading:  10%E0000 an error\n'
    print('after', file=sys.stderr)
    assert capfd.readouterr().err == 'after\n'


def test_an_error_and_a_second_one_inside_leave_the_terminal_as_it_was(capfd):
    with pytest.raises(ZeroDivisionError), quiet(), quiet(): 1/0
    os.write(2, b'here')
    assert capfd.readouterr().err == 'here'


def test_threads_take_turns_and_the_terminal_comes_back(capfd):
    def speak(number):
        for _ in range(20):
            with quiet(): os.write(2, OWN + b'.')
    threads = [threading.Thread(target=speak, args=[number]) for number in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    os.write(2, b'!')
    assert capfd.readouterr().err == '.'*80 + '!'


@pytest.mark.parametrize('how', ['2>&-', '2>/dev/full', '2>/dev/null'])
@pytest.mark.skipif(os.name != 'posix', reason='closes streams as a shell does')
def test_without_a_terminal_it_works_all_the_same(how):
    script = ('from asl_signs.runtime.finder import quiet\nimport os\nfile = open(os.devnull, "wb")\n'
              'with quiet(): print("done")')
    assert python(['sh', '-c', f'{sys.executable} -c \'{script}\' {how}']).stdout == 'done\n'


# Broken libraries

@pytest.fixture
def broken(tmp_path, monkeypatch):
    "A function that puts a package of this name and content where Python finds it first"
    def put(name, content):
        for known in [known for known in sys.modules if known.split('.')[0] == name]:
            monkeypatch.delitem(sys.modules, known)
        (tmp_path/name).mkdir()
        (tmp_path/name/'__init__.py').write_text(content)
        monkeypatch.syspath_prepend(str(tmp_path))
    return put


BROKEN = {'TypeError': "raise TypeError('unhashable type')", 'AttributeError': "import os; os.no_such_thing",
          'SyntaxError': 'def', 'a module of it': '', 'a module that it needs': 'import no_such_module_at_all',
          'ImportError': "raise ImportError('numpy.core.multiarray failed to import')",
          'ValueError': "raise ValueError('numpy.dtype size changed')",
          'its own library': "raise OSError('/site/mediapipe/tasks/c/libmediapipe.so: cannot open shared object file: "
                             "No such file or directory')"}

@pytest.mark.parametrize('what', BROKEN)
def test_a_broken_mediapipe_gives_its_reason_and_whole_pictures_are_read(what, broken, monkeypatch, tmp_path):
    broken('mediapipe', BROKEN[what])
    for module in (model, finding): monkeypatch.setattr(module, 'hand_model', lambda *_, **__: Path('weights'))
    picture, alone = portrait('K'), SignReader(hands=False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        assert SignReader().read(picture).top == alone.read(picture).top
    said = ' '.join(str(one.message) for one in said)
    assert 'MediaPipe is installed, but cannot be loaded' in said and 'not installed' not in said
    assert 'missing' not in said and 'apt-get' not in said
    with pytest.raises(HandsError, match='is installed, but cannot be loaded'): SignReader(hands=True).read(picture)


def test_a_mediapipe_that_breaks_while_it_looks(monkeypatch):
    def detect(self, pixels): raise RuntimeError('the graph has errors')
    monkeypatch.setattr(HandFinder, 'detect', detect)
    monkeypatch.setattr('asl_signs.runtime.reader.reason_against_hands', lambda: '')
    with pytest.warns(UserWarning, match='RuntimeError: the graph has errors'):
        assert SignReader().read(portrait('K')).best


def test_a_module_of_no_known_origin_is_no_reason_to_stop(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mediapipe', type(sys)('mediapipe')) # has no __spec__
    for module in (model, finding): monkeypatch.setattr(module, 'hand_model', lambda *_, **__: Path('weights'))
    with pytest.warns(UserWarning, match='MediaPipe is installed, but cannot be loaded'):
        SignReader().read(portrait('K'))


@pytest.mark.parametrize('content, words', [("raise ImportError('DLL load failed')",
                                             'onnxruntime is installed, but cannot be loaded .*DLL load failed'),
                                             (None, 'onnxruntime is missing: pip install')])
def test_onnx_runtime_that_cannot_be_loaded(content, words, broken, monkeypatch):
    from asl_signs.runtime.bundle import BundleError
    if content: broken('onnxruntime', content)
    else: monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(BundleError, match=words): SignReader(hands=False).read(portrait('K'))


def test_a_broken_progress_bar_stops_no_reading(broken):
    broken('tqdm', "raise AttributeError('half updated')")
    assert [*SignReader(hands=False).read_many([portrait('K')])][0].best


# Other users

READ = '''if True:
    import os, sys, warnings
    import filelock, platformdirs, pwd
    from pathlib import Path
    from PIL import Image
    from asl_signs.runtime.finder import HandFinder
    from asl_signs.runtime.hand_model import hand_model
    from asl_signs.runtime.reader import SignReader
    from asl_signs.core.cache import cache_dir, lock, atomic_path
    Image.init()
    picture = Image.linear_gradient('L')
    alone = SignReader(hands=False).read(picture).top # here, as whoever has no rights cannot even load Python's modules
    if os.environ.get('LOADED'): HandFinder(os.environ['LOADED']).find(picture)
    def become(number):
        os.setgroups([])
        os.setgid(number)
        os.setuid(number)
    def read():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter('always')
            reader = SignReader()
            same = reader.read(picture).top == alone
        print(*(str(one.message) for one in said), 'SAME' if same else 'OTHER', reader.finds_hands(), sep='|')
'''

@pytest.fixture
def public(tmp_path_factory):
    "A folder of root's that everybody may look into"
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


needs_mediapipe = pytest.mark.skipif(not find_spec('mediapipe'),
                                     reason='needs mediapipe: without it, that is the reason')

@root
@needs_mediapipe
@pytest.mark.parametrize('user', [65534, 12345], ids=['nobody', 'a number without an entry'])
def test_a_home_that_may_not_be_read(user, public):
    (public/'home').mkdir(mode=0o700)
    done = python(READ + f'    become({user})\n    read()', public/'home')
    said = r'The hand model at .*home.* may not be read by this user.*\|SAME\|False'
    assert re.search(said, done.stdout), done.stdout + done.stderr


@root
@needs_mediapipe
def test_no_home_and_no_entry(public):
    done = python(READ + "    become(12345)\n    del os.environ['HOME']\n    read()")
    assert re.search(r'no home folder.*ASL_SIGNS_HAND_MODEL.*\|SAME\|False', done.stdout), done.stdout + done.stderr


@root
@mediapipe
@pytest.mark.parametrize('home', ['unreadable', 'unset'])
def test_with_a_good_model_hands_are_found_all_the_same(home, public):
    (public/'home').mkdir(mode=0o700)
    unset = "del os.environ['HOME']" if home == 'unset' else 'pass'
    done = python(READ + f'    become(12345)\n    {unset}\n    read()', public/'home', ASL_SIGNS_HAND_MODEL=TASK,
                  LOADED=TASK)
    assert done.stdout.strip().endswith('|True'), done.stdout + done.stderr


@root
@needs_mediapipe
def test_a_model_that_may_not_be_read(public):
    (public/'model.task').write_bytes(b'weights')
    (public/'model.task').chmod(0o600)
    done = python(READ + '    become(12345)\n    read()', public, ASL_SIGNS_HAND_MODEL=public/'model.task')
    said = r'The hand model at .*model.task may not be read by this user.*\|SAME\|False'
    assert re.search(said, done.stdout), done.stdout + done.stderr


@root
@pytest.mark.parametrize('make', ['atomic_path', 'lock'])
def test_a_cache_of_somebody_else(make, public):
    script = READ + f'''    become(12345)
    try:
        with {make}(cache_dir()/'deep'/'K.pth'): pass
    except OSError as e: print(type(e).__name__, e)'''
    done = python(script, public, ASL_SIGNS_CACHE=public/'cache')
    said = 'CacheError .*cannot be written to: Permission denied.*set ASL_SIGNS_CACHE'
    assert re.search(said, done.stdout), done.stdout + done.stderr


@root
def test_a_complete_cache_that_may_only_be_read_is_used(public):
    script = READ + """
    import numpy as np
    from asl_signs.core.cache import made_once
    from asl_signs.datasets.rows import get_rows
    from asl_signs.datasets.sample import get_sample
    for name in ('thing', 'sample-1'): (cache_dir()/name).mkdir(parents=True)
    np.save(cache_dir()/'rows.npy', np.zeros((1, 2), np.uint8))
    become(12345)
    print(made_once(cache_dir()/'thing', None).name, get_sample().name,
          get_rows(cache_dir()/'rows.npy', ['A1.jpg'], None, (2,), np.uint8).name)"""
    done = python(script, public, ASL_SIGNS_CACHE=public/'cache')
    assert done.stdout.strip() == 'thing sample-1 rows.npy', done.stdout + done.stderr


@pytest.mark.parametrize('name', ['~', '~nobodyhere/model.task'])
def test_a_model_in_a_home_that_there_is_none_of(name, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_HAND_MODEL', name)
    with pytest.raises(HandsError, match='no hand model at'): model.hand_model()


def test_with_a_good_model_no_cache_is_asked_for(tmp_path, monkeypatch):
    (tmp_path/'model').write_bytes(b'weights')
    monkeypatch.setattr(model, 'wrong_with', lambda file: '')
    def asked(): raise AssertionError('the cache was asked for')
    monkeypatch.setattr(model, 'cache_dir', asked)
    monkeypatch.setenv('ASL_SIGNS_HAND_MODEL', str(tmp_path/'model'))
    assert model.hand_model(fetch=False) == tmp_path/'model'


# Forks, and readers that are sent to other processes

FORK = '''if True:
    import os, sys, multiprocessing, threading
    sys.path.insert(0, {tests!r})
    from asl_signs.datasets.drawing import portrait
    from asl_signs.runtime.reader import SignReader
    import test_surroundings as here
    def child(reader, many):
        pictures = [portrait(sign) for sign in 'KLV']
        readings = reader.read_many(pictures, progress=False) if many else map(reader.read, pictures)
        return [one.best for one in readings]

    if __name__ == '__main__':
        reader = {reader}
        expected = child(reader, False)
        for end in (os._exit, sys.exit): # a child of `multiprocessing` ends in the first way, others in the second
            if not (number := os.fork()):
                same = child(reader, False) == child(reader, True) == expected
                del reader
                end(0 if same else 7)
            assert os.waitpid(number, 0)[1] == 0, end
        with multiprocessing.get_context('fork').Pool(2) as pool:
            assert pool.starmap(child, [(reader, many) for many in (False, True)]) == [expected]*2
        assert child(reader, True) == expected # and the parent goes on
        print('all read')'''


@forks
def test_whole_pictures_are_read_in_forked_processes():
    done = python(FORK.format(reader='SignReader(hands=False)', tests=str(TESTS)))
    assert (done.stdout.strip(), done.returncode) == ('all read', 0), done.stderr


@forks
@mediapipe
def test_hands_are_found_in_forked_processes():
    done = python(FORK.format(reader='SignReader(hands=True)', tests=str(TESTS)), ASL_SIGNS_HAND_MODEL=TASK)
    assert (done.stdout.strip(), done.returncode) == ('all read', 0), done.stderr


class Landmarker:
    "Stands in for MediaPipe's: finds nothing, and cannot be asked or closed by another process than its own"
    def __init__(self): self.process, self.closed = os.getpid(), False
    def detect(self, pixels): return self.mine() or type('Found', (), dict(hand_landmarks=[]))
    def close(self): self.closed = self.mine() or True
    def __del__(self): self.mine()
    def mine(self):
        if os.getpid() != self.process: os._exit(9)


def stand_in(monkeypatch):
    "Stands in for MediaPipe; returns a list, to which each landmarker is appended that is loaded"
    loaded = []
    monkeypatch.setattr(finding, 'load_landmarker', lambda *_: loaded.append(Landmarker()) or loaded[-1])
    monkeypatch.setattr(finding, 'hand_model', lambda *_: Path('weights'))
    image = dict(Image=lambda **_: None, ImageFormat=type('Format', (), dict(SRGB=1)))
    monkeypatch.setitem(sys.modules, 'mediapipe', type('mediapipe', (), image))
    return loaded


def in_child(function):
    "What a forked process ends with, when it has run this"
    if not (number := os.fork()):
        try: function()
        except BaseException: os._exit(8)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


@forks
def test_a_finder_is_loaded_anew_in_a_forked_process(monkeypatch):
    loaded, finder = stand_in(monkeypatch), HandFinder()
    assert finder.find(portrait('K')) is None
    def look():
        finder.find(portrait('K'))
        assert [one.process == os.getpid() for one in loaded] == [False, True]
        finder.close()
    assert in_child(look) == 0
    assert [(one.process, one.closed) for one in loaded] == [(os.getpid(), False)]
    finder.close()
    assert loaded[0].closed


@forks
def test_locks_that_were_held_are_free_in_a_forked_process(monkeypatch):
    stand_in(monkeypatch)
    monkeypatch.setattr('asl_signs.runtime.reader.CORES', 1)
    monkeypatch.setattr('asl_signs.runtime.reader.reason_against_hands', lambda: '')
    finding_hands, *others = [SignReader(hands=hands, threads=1) for hands in (True, True, False)]
    for _ in range(9): finding_hands.read(portrait('K')) # a fork waits while the first detections are kept quiet
    parent, inside, go = os.getpid(), threading.Semaphore(0), threading.Event()
    def held(function): # in the parent, until `go`
        def run(*args, **kwargs):
            if os.getpid() == parent: inside.release() or go.wait(WAIT)
            return function(*args, **kwargs)
        return run
    monkeypatch.setattr(Landmarker, 'detect', held(Landmarker.detect))
    monkeypatch.setattr('asl_signs.runtime.reader.reason_against_hands', held(lambda: ''))
    monkeypatch.setattr('onnxruntime.InferenceSession', held(onnxruntime.InferenceSession))
    readers = finding_hands, *others
    threads = [threading.Thread(target=reader.read, args=[portrait('K')]) for reader in readers]
    for thread in threads: thread.start()
    try:
        for _ in threads: assert inside.acquire(timeout=WAIT)
        assert in_child(lambda: [reader.read(portrait('K')) for reader in readers]) == 0
    finally: go.set()
    for thread in threads: thread.join()


def test_a_reader_is_pickled_as_its_settings():
    reader = SignReader(hands=False, views=2, threshold=.25, threads=1)
    reading = reader.read(portrait('K'))
    again = pickle.loads(pickle.dumps(reader))
    assert (again.hands, again.views, again.threshold, again.threads) == (False, 2, .25, 1)
    assert again.bundle.folder == reader.bundle.folder.absolute()
    assert again.read(portrait('K')).top == reading.top
    assert len(pickle.dumps(reader)) < 1000


def test_a_reader_is_sent_to_a_new_process():
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    reader = SignReader(hands=False)
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        told = pool.submit(reader.read, portrait('K')).result(WAIT)
    assert told.top == reader.read(portrait('K')).top


@pytest.mark.skipif(not find_spec('onnxscript'), reason='needs onnx and onnxscript')
@pytest.mark.parametrize('name', ['onnx', 'onnxscript'])
@pytest.mark.parametrize('content, words', [("raise AttributeError('half updated')",
                                             'is installed, but cannot be loaded .AttributeError: half updated'),
                                             (None, "is missing: pip install 'asl_signs.export.'")])
def test_an_exporter_that_cannot_be_loaded(name, content, words, broken, monkeypatch):
    from asl_signs.models.export import ExportError, graph_of
    if content: broken(name, content)
    else: monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExportError, match=f'{name} {words}'): graph_of(None, None, None, '', [])


def test_networks_cannot_be_read_out_with_a_broken_mediapipe(broken):
    from asl_signs.models.landmarker import network_in
    broken('mediapipe', "raise TypeError('unhashable')")
    with pytest.raises(HandsError, match='MediaPipe is installed, but cannot be loaded .TypeError'): network_in('any')

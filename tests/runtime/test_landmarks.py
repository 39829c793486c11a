"Hands: weights from a stand-in server, places in pictures, crops, interruptions; MediaPipe where it is installed"
import hashlib, os, re, signal, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import Mock, patch
from zipfile import ZipFile
import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image
from asl_signs.datasets import hands
from asl_signs.datasets.hands import TOGETHER, find_hands, hands_path
from asl_signs.runtime import finder as finding, hand_model as model
from asl_signs.runtime.config import ReadingConfig
from asl_signs.runtime.crops import cut_square
from asl_signs.runtime.finder import HandFinder
from asl_signs.runtime.hand_model import hand_model, kept_model
from asl_signs.runtime.landmarks import (NUMBERS, Hand, HandsError, film_hands, fitted, from_row, from_view,
                                         palm_side, prepare, to_row)
from asl_signs.core.pictures import PictureError
from waiting import LONG, wait_for

TESTS = Path(__file__).resolve().parents[1]
WEIGHTS = bytes(range(256))*400 # stands in for them
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


# The weights, and all that can go wrong on the way

class Storage(BaseHTTPRequestHandler):
    "Answers as the test wants it"
    def log_message(self, *_): pass

    def do_GET(self):
        self.server.asked += 1
        body, declared = self.server.body, self.server.declared
        self.send_response(self.server.status)
        self.send_header('Content-Length', str(len(body) if declared is None else declared))
        self.end_headers()
        time.sleep(self.server.delay)
        self.wfile.write(body)


@pytest.fixture
def storage(tmp_path, monkeypatch):
    "A server that has the weights, whose checksum is expected, and an empty cache"
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))
    monkeypatch.setenv('ASL_SIGNS_HAND_MODEL', '')
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr(model, 'MODEL_BYTES', len(WEIGHTS))
    monkeypatch.setattr(model, 'MODEL_SHA256', SHA256)
    server = ThreadingHTTPServer(('127.0.0.1', 0), Storage)
    server.asked, server.body, server.declared, server.status, server.delay = 0, WEIGHTS, None, 200, 0
    server.address = f'http://127.0.0.1:{server.server_port}/hand_landmarker.task'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def left_in_cache(): return [file.name for file in kept_model().parent.iterdir() if file.suffix != '.lock']


def test_weights_are_fetched_once(storage):
    assert hand_model(address=storage.address).read_bytes() == WEIGHTS
    assert hand_model(address=storage.address) == hand_model(fetch=False) == kept_model()
    assert storage.asked == 1 and left_in_cache() == ['hand_landmarker.task']


def test_weights_that_were_damaged_in_the_cache_are_fetched_anew(storage):
    hand_model(address=storage.address).write_bytes(WEIGHTS[:-1])
    with pytest.raises(HandsError, match='bytes instead of'): hand_model(fetch=False)
    assert hand_model(address=storage.address).read_bytes() == WEIGHTS


WRONG = {
    'cut off': (dict(body=WEIGHTS[:5000], declared=len(WEIGHTS)), '5,000 bytes instead of 102,400|IncompleteRead'),
    'a page of a proxy': (dict(body=b'<html>Sign in</html>'), '20 bytes instead of 102,400'),
    'as long, but other': (dict(body=WEIGHTS[::-1]), f'SHA-256 is .* instead of {SHA256}'),
    'not there': (dict(status=404), 'could not be fetched .*404'),
    'no server': (dict(), 'could not be fetched .*refused')}

@pytest.mark.parametrize('case', WRONG)
def test_weights_that_are_wrong_are_not_kept(case, storage):
    about, words = WRONG[case]
    for name, value in about.items(): setattr(storage, name, value)
    address = 'http://127.0.0.1:9/nobody' if case == 'no server' else storage.address
    with pytest.raises(HandsError, match=words) as said: hand_model(address=address)
    assert str(kept_model()) in str(said.value) and 'ASL_SIGNS_HAND_MODEL' in str(said.value)
    assert left_in_cache() == []


def test_an_interruption_leaves_nothing(storage):
    with patch.object(model.shutil, 'copyfileobj', side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        hand_model(address=storage.address)
    assert left_in_cache() == []
    assert hand_model(address=storage.address).exists()


def test_of_two_processes_at_once_one_fetches(storage):
    storage.delay = 1
    script = f'''if True:
        from asl_signs.runtime import hand_model as model
        model.MODEL_BYTES, model.MODEL_SHA256 = {len(WEIGHTS)}, {SHA256!r}
        model.hand_model(address={storage.address!r})'''
    both = [subprocess.Popen([sys.executable, '-c', script], stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(600) for process in both] == [0, 0]
    assert storage.asked == 1 and kept_model().read_bytes() == WEIGHTS


def test_a_path_comes_before_the_variable_and_that_before_the_cache(storage, tmp_path, monkeypatch):
    for name in 'ab': (tmp_path/name).write_bytes(WEIGHTS)
    monkeypatch.setenv('ASL_SIGNS_HAND_MODEL', str(tmp_path/'a'))
    assert hand_model() == tmp_path/'a' and hand_model(tmp_path/'b') == tmp_path/'b'
    (tmp_path/'b').write_bytes(WEIGHTS + b'!')
    with pytest.raises(HandsError, match='102,401 bytes'): hand_model(tmp_path/'b')
    with pytest.raises(HandsError, match='There is no hand model at .*nowhere'): hand_model(tmp_path/'nowhere')
    assert storage.asked == 0


# What is missing

def test_without_mediapipe_it_says_how_to_install_it(monkeypatch):
    for name in [name for name in sys.modules if name.split('.')[0] == 'mediapipe']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'mediapipe', None)
    with pytest.raises(HandsError, match=re.escape("pip install 'asl_signs[hands]'")):
        finding.load_landmarker(Path('any'), .5)
    monkeypatch.setattr(finding, 'version', Mock(side_effect=finding.PackageNotFoundError('mediapipe')))
    with pytest.raises(HandsError, match='not installed'): HandFinder().facts()


@pytest.mark.parametrize('error', ['OSError', 'ImportError'])
def test_without_the_systems_libraries_it_says_which(error, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split('.')[0] == 'mediapipe']:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path/'mediapipe').mkdir()
    (tmp_path/'mediapipe'/'__init__.py').write_text(f"raise {error}('libGLESv2.so.2: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(HandsError, match='libGLESv2.* apt-get install libgl1 libegl1 libgles2 libglib2.0-0'):
        finding.load_landmarker(Path('any'), .5)


# Places in pictures

sides, middle = st.integers(100, 400), st.floats(.35, .65) # what is at the edge is repeated in the margin

@given(width=sides, height=sides, x=middle, y=middle, view=st.sampled_from(ReadingConfig.views))
def test_what_is_seen_in_a_view_is_found_in_the_picture(width, height, x, y, view):
    spot, picture = (int(x*width), int(y*height)), Image.new('RGB', (width, height))
    radius = max(2, max(width, height)//60)
    picture.paste('white', (spot[0] - radius, spot[1] - radius, spot[0] + radius, spot[1] + radius))
    shown = np.asarray(prepare(picture, view), np.float64)[..., 0]
    rows, columns = np.indices(shown.shape) + .5
    seen = [(columns*shown).sum()/shown.sum()/shown.shape[1], (rows*shown).sum()/shown.sum()/shown.shape[0], 0]
    found = from_view(np.tile(seen, (21, 1)), view, picture.size)
    assert np.abs(found[:, :2] - spot).max() < .6*max(1, max(width, height)/224)


@given(width=st.integers(1, 3000), height=st.integers(1, 3000))
def test_the_longer_side_is_fitted(width, height):
    size = fitted(Image.new('L', (width, height)), 224).size
    assert max(size) == 224 and min(size) >= 1


numbers = st.floats(-60, 120, width=32)

@given(width=st.integers(1, 60), height=st.integers(1, 60), x=numbers, y=numbers, across=st.floats(0, 60, width=32),
       down=st.floats(0, 60, width=32), factor=st.sampled_from([1, 1.6, 3]))
def test_a_crop_is_cut_from_a_picture_that_goes_on_beyond_its_edges(width, height, x, y, across, down, factor):
    # Black and white would be overshot and clipped, which comes out differently by whether rows or columns come first.
    picture = Image.fromarray(np.random.default_rng(width).integers(80, 176, (height, width, 3), np.uint8))
    side, around = max(1, factor*max(across, down)), 300
    endless = Image.fromarray(np.pad(np.asarray(picture), ((around, around), (around, around), (0, 0)), mode='edge'))
    box = np.array([centre + half for half in (-side/2, side/2) for centre in (x, y)])
    if box.min() < -1e-6 or (box[2:] > np.array(picture.size) + 1e-6).any(): whole, box = endless, box + around
    else: whole, box = picture, box.clip(0, [*picture.size]*2) # nothing beyond the edges is needed
    expected = whole.resize((16, 16), Image.Resampling.BICUBIC, box=tuple(box.tolist()))
    assert np.abs(np.int16(cut_square(picture, (x, y, side), 16)) - np.int16(expected)).max() <= 2


def test_a_crop_that_shrinks_is_a_mean_and_not_a_sample():
    stripes = np.tile(np.uint8([0, 255]), (600, 300))
    crop = np.asarray(cut_square(Image.fromarray(stripes).convert('RGB'), (300, 300, 480), 20))
    assert np.abs(np.int16(crop) - 127).max() < 10


# A hand as numbers

@given(seed=st.integers(0, 10**6), size=st.floats(.01, 1000))
def test_left_and_right_depend_on_nothing_but_the_mirror(seed, size):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    joints = np.stack([hand.landmarks for hand in film_hands().values()])
    moved = (joints @ turn.T)*size + 7
    assert np.allclose(palm_side(moved), palm_side(joints))
    assert np.allclose(palm_side(moved*(-1, 1, 1)), -palm_side(joints))
    assert (palm_side(moved) > 0).all() and (palm_side(moved*(-1, 1, 1) + (640, 0, 0)) < 0).all()


def test_rows_and_hands_are_the_same():
    for hand in film_hands().values():
        again = from_row(to_row(hand, 640), 640)
        assert np.allclose(again.landmarks, hand.landmarks, atol=1e-3)
        assert np.allclose(again.world, hand.world) and again.left == hand.left
        assert again.score == pytest.approx(hand.score)


# A data set, with a finder that tells from a picture's colour which row it should have

class ByColour(HandFinder):
    "Stands in for MediaPipe: red says where the hand is, and black that there is none; green ends the process"
    views = ReadingConfig.views[:2]
    def __init__(self, gate=None, name='by colour', most=None):
        "`gate`: a file to wait for after the first block; `most`: pictures after which Ctrl+C is pressed"
        self.gate, self.name, self.most, self.looked = gate, name, most, 0

    def __reduce__(self): return type(self), (self.gate, self.name)
    def facts(self): return self.name

    def look(self, picture):
        self.looked += 1
        if self.looked - 1 == self.most: raise KeyboardInterrupt
        if self.gate and self.looked > TOGETHER: wait_for(Path(self.gate).exists)
        red, green, _ = picture.getpixel((0, 0))
        if green: os._exit(3)
        return [Hand(np.full((21, 3), red + view), np.full((21, 3), .1), False, 1.) if red else None
                for view in range(2)]


@pytest.fixture
def files(tmp_path, monkeypatch):
    "As many tiny pictures as make four blocks, and a cache of their own"
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))
    (tmp_path/'K').mkdir()
    for number in range(4*TOGETHER - 10):
        Image.new('RGB', (10, 8), (number % 200, 0, 0)).save(tmp_path/'K'/f'K{number:03}.png')
    return sorted((tmp_path/'K').iterdir())


def check(found, files):
    reds = np.array([Image.open(file).getpixel((0, 0))[0] for file in files])
    assert found.files == files and found.numbers.dtype == np.float32
    assert found.numbers.shape == (len(files), 2, NUMBERS)
    assert np.array_equal(found.found, np.stack([reds > 0]*2, 1))
    for view in range(2): assert np.allclose(found.landmarks[reds > 0, view, 5, 1], (reds[reds > 0] + view)/10)
    assert np.isnan(found.numbers[reds == 0]).all() and np.allclose(found.world[reds > 0], .1)
    assert (found.score[reds > 0] == 1).all() and not found.left[reds > 0].any()


def looked(files, **how):
    "How many pictures had to be looked at"
    finder = ByColour(**how)
    check(find_hands(files, finder, workers=1), files)
    return finder.looked


def test_hands_are_looked_for_once_whatever_the_order(files):
    assert looked(files) == len(files)
    assert looked(files[::-1]) == 0
    assert find_hands(map(str, files), ByColour()).files == files
    assert [file.suffix for file in hands_path(files, ByColour()).parent.iterdir() if file.name[0] != '.'] == ['.npy']


def test_several_processes_find_what_one_finds(files):
    check(find_hands(files, ByColour(), workers=2), files)
    assert looked(files) == 0


@pytest.mark.parametrize('change', ['a time', 'a size', 'a name', 'one less', 'another finder'])
def test_what_was_found_in_other_pictures_is_not_used(change, files):
    looked(files)
    if change == 'a time': os.utime(files[3], (0, 0))
    if change == 'a size': Image.new('RGB', (10, 9), (7, 0, 0)).save(files[3])
    if change == 'a name': files[3] = files[3].rename(files[3].with_name('K999.png'))
    if change == 'one less': files.pop()
    assert looked(files, name='another' if change == 'another finder' else 'by colour') == len(files)


def interrupted(files, after):
    with pytest.raises(KeyboardInterrupt): find_hands(files, ByColour(most=after), workers=1)


def test_an_interrupted_search_is_taken_up(files):
    interrupted(files, 2*TOGETHER)
    assert not hands_path(files, ByColour()).exists()
    assert looked(files) == len(files) - 2*TOGETHER


def test_a_damaged_block_is_made_again(files):
    interrupted(files, 3*TOGETHER)
    with hands_path(files, ByColour()).with_suffix('.part').open('r+b') as part:
        part.seek(500), part.write(b'not these')
    assert looked(files) == len(files) - 2*TOGETHER


@pytest.mark.parametrize('workers', [1, 2])
def test_a_picture_that_cannot_be_read_is_named(workers, files):
    files[TOGETHER + 5].write_bytes(b'no picture')
    with pytest.raises(PictureError, match=f'K{TOGETHER + 5:03}.png is empty, or of no kind'):
        find_hands(files, ByColour(), workers=workers)
    assert not hands_path(files, ByColour()).exists()


def test_a_process_that_dies_is_reported(files):
    Image.new('RGB', (10, 8), (1, 1, 0)).save(files[TOGETHER])
    with pytest.raises(HandsError, match='has ended.*workers=1.*is kept'): find_hands(files, ByColour(), workers=2)
    Image.new('RGB', (10, 8), (1, 0, 0)).save(files[TOGETHER]) # and none of the pool that broke is used again
    check(find_hands(files, ByColour(), workers=2), files)


def test_no_pictures_and_unknown_pictures(files):
    assert find_hands([], ByColour()).numbers.shape == (0, 2, NUMBERS)
    found = find_hands(files[:5], ByColour(), workers=1)
    check(found.of(files[3:0:-1]), files[3:0:-1])
    assert len(found.of([])) == 0
    with pytest.raises(HandsError, match='No hand was looked for in .*K007.png and 1 others'): found.of(files[7:9])


PATHS = dict(PYTHONPATH=os.pathsep.join([str(TESTS/'runtime'), str(TESTS), str(TESTS.parent),
                                         os.environ.get('PYTHONPATH', '')]))

def search(files, gate=None): return f'''if True:
    from pathlib import Path
    from test_landmarks import ByColour, find_hands, hands
    hands.IDLE = 1
    files = [*Path({str(files[0].parent)!r}).iterdir()]
    print(find_hands(files, ByColour({gate and str(gate)!r}), workers=2).found.sum())'''


def command(files, gate=None):
    return subprocess.Popen([sys.executable, '-c', search(files, gate)], env=os.environ | PATHS, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True, start_new_session=True,
                            # ignored in background jobs
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def test_a_script_needs_no_guard(files, tmp_path):
    (tmp_path/'script.py').write_text(search(files))
    done = subprocess.run([sys.executable, tmp_path/'script.py'], env=os.environ | PATHS, capture_output=True,
                          text=True, timeout=LONG)
    assert done.returncode == 0 and int(done.stdout.split()[-1]) > 400, done.stderr
    assert looked(files) == 0


def in_group(leader):
    "Processes of a session that are alive"
    stats = [Path(f'/proc/{name}/stat') for name in os.listdir('/proc') if name.isdigit()]
    fields = [stat.read_text().rsplit(')', 1)[1].split() for stat in stats if stat.exists()]
    return [field for field in fields if int(field[3]) == leader and field[0] != 'Z']


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='looks at processes in /proc')
def test_a_search_that_was_killed_is_taken_up_and_leaves_no_process(files, tmp_path):
    process, log = command(files, tmp_path/'gate'), hands_path(files, ByColour()).with_suffix('.log')
    wait_for(lambda: log.exists() and log.read_text().endswith('\n'))
    process.kill()
    process.wait()
    (tmp_path/'gate').touch() # the blocks that were begun are finished, and then there is no more work
    wait_for(lambda: not in_group(process.pid))
    done = sum(min(TOGETHER, len(files) - int(line.split()[0])) for line in log.read_text().splitlines())
    assert TOGETHER - 10 <= done < len(files) and not hands_path(files, ByColour()).exists()
    assert looked(files) == len(files) - done


@pytest.mark.skipif(os.name == 'nt', reason='Ctrl-C is sent to a group of processes')
def test_ctrl_c_ends_it_and_what_was_finished_is_kept(files, tmp_path):
    process, log = command(files, tmp_path/'gate'), hands_path(files, ByColour()).with_suffix('.log')
    wait_for(lambda: log.exists() and log.read_text().endswith('\n'))
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(LONG) != 0 # though the gate is shut: processes at work are ended
    wait_for(lambda: not in_group(process.pid))
    assert looked(files) < len(files)


def test_of_two_processes_at_once_one_looks(files):
    both = [command(files) for _ in range(2)]
    said = [process.communicate(timeout=LONG)[0].split()[-1] for process in both] # the bar comes before it
    assert len({*said}) == 1 and int(said[0]) > 400
    assert looked(files) == 0


# MediaPipe itself

PLACES = [Path(os.environ.get('ASL_SIGNS_HAND_MODEL') or 'nowhere'),
          TESTS.parent.parent/'shared'/'data'/'hand_landmarker.task']
TASK = next((file for file in PLACES if file.is_file()), None)
FILM = TASK and TASK.parent/'96px-28cls'/'asl-alphabet.zip'
mediapipe = pytest.mark.skipif(not (TASK and find_spec('mediapipe')),
                               reason='needs mediapipe, and its weights in ASL_SIGNS_HAND_MODEL or ../shared/data')
film = pytest.mark.skipif(not (TASK and find_spec('mediapipe') and FILM.exists()),
                          reason='needs mediapipe, its weights and, beside them, 96px-28cls/asl-alphabet.zip')


@pytest.fixture(scope='module')
def finder():
    with HandFinder(TASK) as finder: yield finder


@pytest.fixture(scope='module')
def frames(tmp_path_factory):
    "One real frame of each of 27 signs"
    folder = tmp_path_factory.mktemp('film')
    with ZipFile(FILM) as archive:
        names = {name.split('/')[-2]: name for name in sorted(archive.namelist())
                 if '/asl_alphabet_train/' in f'/{name}' and name.endswith('.jpg')}
        for sign, name in names.items():
            if sign != 'nothing': (folder/f'{sign}.jpg').write_bytes(archive.read(name))
    return sorted(folder.iterdir())


@mediapipe
def test_nothing_is_found_in_plain_grey(finder):
    grey = Image.new('RGB', (200, 150), (128, 128, 128))
    assert finder.find(grey) is None and finder.look(grey) == [None]*len(ReadingConfig.views)


@mediapipe
def test_a_hand_that_is_not_closed_ends_without_complaint():
    script = f'''if True:
        import numpy as np, sys
        from asl_signs.runtime.finder import HandFinder
        finder = HandFinder({str(TASK)!r})
        print(finder.find(np.zeros((90, 60, 3), np.uint8)), 'torch' in sys.modules)'''
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=LONG)
    assert done.stdout.split() == ['None', 'False'] and 'Traceback' not in done.stderr
    assert 'Exception' not in done.stderr


@film
def test_hands_are_found_in_the_film(finder, frames):
    found = [finder.find(frame) for frame in frames]
    assert sum(hand is not None for hand in found) >= 25
    for hand in filter(None, found):
        left, top, right, bottom = hand.box
        assert -20 < left < right < 116 and -20 < top < bottom < 116 and 0 <= hand.score <= 1
        assert np.ptp(hand.world) < .5


@film
def test_a_hand_is_where_it_is_whatever_the_size_of_the_picture(finder, frames):
    picture = Image.open(frames[1]) # B
    large = picture.resize((480, 480), Image.Resampling.BICUBIC)
    wide = Image.new('RGB', (168, 96), picture.getpixel((0, 95)))
    wide.paste(picture, (36, 0))
    hand = finder.find(picture)
    assert np.abs(finder.find(large).landmarks[:, :2]/5 - hand.landmarks[:, :2]).max() < 4
    assert np.abs(finder.find(wide).landmarks[:, :2] - (36, 0) - hand.landmarks[:, :2]).max() < 8


@film
def test_the_finger_that_is_up_is_up(finder, frames):
    hand = finder.find(next(frame for frame in frames if frame.stem == 'D'))
    assert hand.landmarks[:, 1].argmin() == 8 # the tip of the index finger


@film
def test_threads_may_share_a_finder(finder, frames):
    alone = [to_row(finder.find(frame), 96) for frame in frames[:8]]
    with HandFinder(TASK) as shared, ThreadPoolExecutor(4) as pool:
        together = [to_row(hand, 96) for hand in pool.map(shared.find, frames[:8])]
    np.testing.assert_array_equal(alone, together)


@film
def test_a_finder_that_was_closed_is_opened_again(frames):
    finder = HandFinder(TASK)
    before = to_row(finder.find(frames[0]), 96)
    finder.close()
    finder.close()
    np.testing.assert_array_equal(before, to_row(finder.find(frames[0]), 96))
    finder.close()


@film
def test_processes_find_what_a_finder_finds(finder, frames, tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path))
    # here, so that there is work for two; the helpers know nothing of it, and one of them does both
    monkeypatch.setattr(hands, 'TOGETHER', 1)
    found = find_hands(frames[:2], HandFinder(TASK), workers=2)
    expected = [[to_row(hand, 96) for hand in finder.look(frame)] for frame in frames[:2]]
    np.testing.assert_allclose(found.numbers, expected, atol=1e-6)

"Pictures decoded once: the same pixels, never stale, whole after interruptions, full disks and two processes at once"
import errno, os, pickle, re, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest.mock import patch
import numpy as np
import pytest
from fastai.vision.all import Resize
from hypothesis import given, settings, strategies as st
from PIL import Image
from asl_signs.datasets import hands, rows as cache
from asl_signs.datasets.rows import BLOCK, get_pixels, pixels_path, small
from asl_signs.data import Picture
from asl_signs.core.cache import CacheError
from asl_signs.datasets.archives import DataError

SIZE = 8


@pytest.fixture
def files(tmp_path, monkeypatch):
    "Six hundred tiny pictures, more than two blocks, and a cache of their own"
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))
    (folder := tmp_path/'K').mkdir()
    noise = np.random.default_rng(42).integers(0, 256, (600, 12, 12, 3), np.uint8)
    for number, pixels in enumerate(noise): Image.fromarray(pixels).save(folder/f'K{number:03}.png')
    return sorted(folder.iterdir())


def expected(files): return np.stack([small(file, SIZE) for file in files])


def count_decoded(files):
    "Makes the cache, and says how many pictures were decoded for it"
    with patch.object(cache, 'small', side_effect=small) as decoded: pixels = get_pixels(files, SIZE)
    assert np.array_equal(pixels.array, expected(sorted(files)))
    return decoded.call_count


@given(width=st.integers(1, 40), height=st.integers(1, 40), size=st.integers(1, 40))
@settings(deadline=None)
def test_pixels_are_those_of_fastai(width, height, size):
    picture = Image.fromarray(np.random.default_rng(width*height).integers(0, 256, (height, width, 3), np.uint8))
    plain = np.asarray(Resize(size)(Picture.create(picture), split_idx=1))
    assert np.array_equal(small(picture, size), plain)


def test_is_made_once_whatever_the_order(files):
    assert count_decoded(files) == 600
    assert count_decoded(files[::-1]) == 0
    pixels = get_pixels(files, SIZE)
    assert np.array_equal(pixels.take(pixels.rows(files[7::9])), expected(files[7::9]))
    assert [file.suffix for file in pixels.path.parent.iterdir() if file.name[0] != '.'] == ['.npy']


@pytest.mark.parametrize('change', ['other pixels', 'another time', 'another name', 'one less', 'another size'])
def test_a_stale_cache_is_not_used(change, files):
    before = get_pixels(files, SIZE)
    if change == 'other pixels': Image.new('RGB', (12, 12)).save(files[3])
    if change == 'another time': os.utime(files[3], (0, 0))
    if change == 'another name': files[3] = files[3].rename(files[3].with_name('K999.png'))
    if change == 'one less': files.pop()
    after = get_pixels(files, 9 if change == 'another size' else SIZE)
    assert after.path != before.path
    again = np.stack([small(file, after.size) for file in files[3:5]])
    assert np.array_equal(after.take(after.rows(files[3:5])), again)


@pytest.mark.parametrize('length', [0, 50, 1000, -1])
def test_a_file_that_was_cut_off_is_made_anew(length, files):
    path = get_pixels(files, SIZE).path
    with path.open('r+b') as file: file.truncate(length if length >= 0 else path.stat().st_size + length)
    assert count_decoded(files) == 600


def test_a_container_with_one_core_of_many_starts_neither_threads_nor_processes_for_all(monkeypatch):
    monkeypatch.setattr(os, 'cpu_count', lambda: 64)
    monkeypatch.setenv('LOKY_MAX_CPU_COUNT', '1') # as joblib finds in a container
    with patch.object(cache, 'ThreadPoolExecutor', side_effect=ThreadPoolExecutor) as threads:
        assert [*cache._in_threads(str, [1, 2])] == ['1', '2']
    threads.assert_called_once_with(1)
    with patch.object(hands, 'ProcessPoolExecutor') as processes:
        assert [*hands._in_processes(str, [1, 2], None)] == ['1', '2'] and not processes.called


def interrupt_at(picture):
    def stop(file, size):
        if file == picture: raise KeyboardInterrupt
        return small(file, size)
    return patch.object(cache, 'small', stop)


def test_an_interrupted_run_is_taken_up(files, monkeypatch):
    monkeypatch.setattr(cache, 'cpu_count', lambda: 1)
    with interrupt_at(files[2*BLOCK + 3]), pytest.raises(KeyboardInterrupt): get_pixels(files, SIZE)
    assert not pixels_path(files, SIZE).exists()
    assert count_decoded(files) == 600 - 2*BLOCK


@pytest.mark.parametrize('damage', ['a block', 'the end of the file', 'the list', 'a word in the list', 'no list'])
def test_what_an_interrupted_run_left_damaged_is_made_anew(damage, files, monkeypatch):
    monkeypatch.setattr(cache, 'cpu_count', lambda: 1)
    with interrupt_at(files[2*BLOCK + 3]), pytest.raises(KeyboardInterrupt): get_pixels(files, SIZE)
    part, log = (pixels_path(files, SIZE).with_suffix(ending) for ending in ('.part', '.log'))
    if damage == 'a block':
        with part.open('r+b') as file: file.seek(500), file.write(b'not these')
    if damage == 'the end of the file':
        with part.open('r+b') as file: file.truncate(5000)
    if damage == 'the list': log.write_text(log.read_text()[:-3])
    if damage == 'a word in the list': log.write_text(log.read_text().replace('256 ', 'no! '))
    if damage == 'no list': log.unlink()
    assert count_decoded(files) == (600 - BLOCK if damage in ('a block', 'the list', 'a word in the list') else 600)


def test_a_disk_that_is_too_small_is_said_before(files, monkeypatch):
    monkeypatch.setattr('shutil.disk_usage', lambda folder: SimpleNamespace(free=1000))
    message = r'0\.00 GB in .*pixels, where 0\.00 GB are free\. Make room'
    with pytest.raises(DataError, match=message): get_pixels(files, SIZE)
    assert [file.suffix for file in pixels_path(files, SIZE).parent.iterdir()] == ['.lock']


def test_a_disk_that_fills_up_is_said_and_what_was_done_is_kept(files, monkeypatch):
    monkeypatch.setattr(cache, 'cpu_count', lambda: 1)
    def full(file, size):
        if file == files[BLOCK]: raise OSError(errno.ENOSPC, 'No space left on device')
        return small(file, size)
    message = 'pixels cannot be written to: No space left on device. Make room, or set ASL_SIGNS_CACHE'
    with patch.object(cache, 'small', full), pytest.raises(CacheError, match=message): get_pixels(files, SIZE)
    assert count_decoded(files) == 600 - BLOCK


def test_a_picture_that_cannot_be_read_is_named(files):
    files[5].write_bytes(b'no picture')
    with pytest.raises(ValueError, match='K005.png is empty'): get_pixels(files, SIZE)


SCRIPT = '''
import sys
from pathlib import Path
from unittest.mock import patch
from asl_signs.datasets import hands, rows as cache
files = [*Path(sys.argv[1]).iterdir()]
with patch.object(cache, 'small', side_effect=cache.small) as decoded: pixels = cache.get_pixels(files, 8)
print(f'made {decoded.call_count} {int(pixels.array.sum(dtype="int64"))}')'''


def test_of_two_processes_at_once_one_makes_it(files):
    command = [sys.executable, '-c', SCRIPT, files[0].parent]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    made = [re.search(r'made (\d+) (\d+)', process.communicate(timeout=600)[0]).groups() for process in both]
    assert sorted(int(decoded) for decoded, _ in made) == [0, 600]
    assert {int(total) for _, total in made} == {int(expected(files).sum(dtype='int64'))}


def test_pickled_is_the_place_and_not_the_pixels(files):
    pixels = get_pixels(files, SIZE)
    assert len(pickle.dumps(pixels)) < pixels.array.nbytes
    assert np.array_equal(pickle.loads(pickle.dumps(pixels)).take([5]), pixels.take([5]))


def test_mapped_memory_is_given_back_and_pictures_are_still_there(files):
    pixels = get_pixels(files, SIZE)
    for _ in range(3): assert np.array_equal(pixels.take(range(600)), expected(files))
    pixels.release()
    assert np.array_equal(pixels.take(range(600)), expected(files))

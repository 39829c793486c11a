"The benchmark measures what it says; how fast anything is, is not tested"
import json, subprocess, sys
from pathlib import Path
from unittest.mock import patch
import pytest
import bench
from fastai.vision.all import accuracy
from asl_signs.data import get_data
from asl_signs.datasets.sample import draw_sample
from asl_signs.core.settings import get_settings


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return get_data(draw_sample(tmp_path_factory.mktemp('pictures')/'drawn', frames=12, pictures=1, side=32))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch): monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))


def small(dls, settings): return bench.Learner(dls, bench.small_network(), metrics=accuracy)


def test_a_comparison_is_made_of_pairs():
    plain, fast = iter([1, 2, 4]), iter([10, 10, 10])
    found = bench.compare(3, lambda: next(plain), lambda: next(fast))
    assert found == dict(plain=2, fast=10, ratio=5, lowest=2.5, highest=10, repeats=3)


@pytest.mark.parametrize('measure', [bench.input_pipeline, bench.building])
def test_reading_is_measured_on_all_pictures(measure, data):
    with patch.object(bench, 'WORKERS', (0,)): found = measure(data.train, get_settings(data, bs=16), 2)
    assert found['pictures'] == 12*29 and found['repeats'] == 2 and found['workers'] == 0
    assert found['lowest'] <= found['ratio'] <= found['highest'] and min(found['plain'], found['fast']) > 0


def test_training_counts_the_pictures_of_full_batches(data):
    timer = bench.Timer()
    settings = get_settings(data, bs=16)
    learn = bench.Learner(bench.loaders(data.train, settings, True), bench.small_network(), cbs=timer)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    assert timer.pictures == (12*29 - 32)//16*16


def test_switches_are_compared_with_none_of_them(data):
    with patch.object(bench, 'new_learner', small): found = bench.switches(data.train, get_settings(data, bs=16), 2)
    assert [*found['ways']] == ['as written', 'channels_last', 'bfloat16', 'both']
    assert found['ways']['as written']['ratio'] == 1
    assert all(way['speed'] > 0 and way['lowest'] <= way['ratio'] <= way['highest'] for way in found['ways'].values())


def test_what_is_measured_again_replaces_itself_alone(tmp_path):
    file, known = tmp_path/'full.json', {'a': lambda: 1, 'b': lambda: 2}
    bench.bench(known, None, file, pictures='these')
    bench.bench(known | {'b': lambda: 3}, ['b'], file, pictures='those')
    found = json.loads(file.read_text())
    assert (found['a'], found['b'], found['pictures'], [*found['machine']]) == (1, 3, 'those', ['a', 'b'])


def test_time_to_accuracy_is_until_the_goal(data):
    plain, same, quick, never = [(10, .2), (20, .5)], [(4, .1), (8, .55)], [(2, .4), (4, .6)], [(2, .4), (4, .45)]
    runs = [plain, same, quick, plain, same, never, plain, same, quick]
    with patch.object(bench, 'timed_run', side_effect=runs):
        found = bench.time_to_accuracy(data, get_settings(data), 3)
    assert [run['fast'] for run in found['runs']] == [4, None, 4]
    assert (found['ratio'], found['lowest'], found['plain'], found['ends_with'], found['reached']) == (5, 0, 20, .6, 2)
    assert (found['same_recipe'], found['same_recipe_reads']) == (8, .55)


def test_both_ways_learn_from_the_files_on_the_disk(data):
    "Also the first time, with nothing in the cache"
    with bench.every(data, 1) as links:
        assert len(links.train) == 12*29 and all(file.is_symlink() for file in links.train)
        for fast in (False, True):
            settings = get_settings(data, bs=16, fast=fast)
            with patch.object(bench, 'new_learner', small):
                rows = bench.timed_run(links, settings, 0, lambda learn, clock: learn.fit(2, cbs=clock))
            assert len(rows) == 2 and 0 < rows[0][0] < rows[1][0] and all(0 <= accuracy <= 1 for _, accuracy in rows)


@pytest.mark.skipif(not Path('/proc/self/smaps_rollup').exists(), reason='memory is read from /proc, which Linux has')
def test_memory_of_workers_counts():
    hold = 'held = bytearray(b"x")*50_000_000; print("ready", flush=True); input()'
    script = f'import subprocess, sys; subprocess.run([sys.executable, "-c", {hold!r}])'
    with subprocess.Popen([sys.executable, '-c', script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        parent, *workers = bench.family(process.pid)
        assert len(workers) == 1 and bench.held(workers[0]) > 50 > bench.held(parent)
        for pid in (*workers, parent): subprocess.run(['kill', str(pid)])
    assert bench.held(process.pid) == 0

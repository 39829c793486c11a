"The tables of README and notebooks, made from invented results"
import json
import pytest
from tables import (COMPARED, WITH_OR_WITHOUT, bench_table, front_table, keep, people_table, read_results,
                    recipe_table, results_table, run_of_record, share, with_interval)


@pytest.mark.parametrize('accuracy, said', [
    (dict(value=539/870, pictures=870), '61.95 % of 870'), (dict(value=.5, pictures=87_000), '50.00 % of 87,000'),
    (None, '–')], ids=['one', 'thousands', 'not measured'])
def test_an_accuracy_is_shown_with_the_number_of_pictures(accuracy, said): assert share(accuracy) == said


@pytest.mark.parametrize('interval, said', [
    ([.1, .4], ' (10.0 to 40.0)'), ([None, None], ''), ([float('nan')]*2, ''), (None, '')])
def test_an_interval_is_shown_where_there_is_one(interval, said):
    assert with_interval(dict(value=.25, pictures=8, interval=interval)) == f'25.00 % of 8{said}'


def test_nothing_measured_has_no_interval(): assert with_interval(None) == '–'


def test_a_run_is_kept_and_shown(tmp_path):
    run = dict(data=dict(source='/home/me/pictures', train=9), settings=dict(arch='resnet18', size=64),
               accuracies={'second test set': dict(value=.25, pictures=8)})
    (tmp_path/'metrics.json').write_text(json.dumps(run))
    (results := tmp_path/'results').mkdir()
    keep(tmp_path/'metrics.json', results/'1-try.json', 'a try', 'nine drawings', 'make run')
    kept, = read_results(results)
    assert results_table(results).endswith('| a try | resnet18, 64 | – | – | – | 25.00 % of 8 |')
    assert (kept['command'], kept['data']['source'], kept['data']['train']) == ('make run', 'nine drawings', 9)
    assert '/home/me' not in (results/'1-try.json').read_text()


@pytest.fixture
def measured(tmp_path):
    "Writes what `make bench` might have left"
    def write(found):
        (tmp_path/'bench').mkdir()
        (tmp_path/'bench'/'full.json').write_text(json.dumps(found))
        return tmp_path
    return write


def test_the_fast_way_is_compared(measured):
    one = dict(size=96, plain=2000, fast=50_000, ratio=25, lowest=20, highest=30.04)
    row = '| building the cache, 96 px | 2,000 a second | 50,000 a second | 25.0 (20.0 to 30.0) |'
    assert row in bench_table(measured(dict.fromkeys(COMPARED, one))).splitlines()


def test_each_recipe_has_its_time_and_its_accuracy(measured):
    runs = [dict(plain=100, accuracy=read, same_recipe=50, same_recipe_reads=read, ends=9, ends_with=2*read)
            for read in (.2, .3, .25)]
    last = "| the quick recipe, `recipe='quick'` | 9 s | 50.0 % (40.0 to 60.0) |"
    assert recipe_table(measured({'time to accuracy': dict(runs=runs)})).splitlines()[-1] == last


def test_strangers_come_before_everything_else(tmp_path):
    one = dict(mean=.9, interval=[.85, .94], worst_tenth=.7, answered=.8, right_when_answered=.96, pictures=2000,
               people=dict(ann=.7, ben=1.))
    ways = {'with MediaPipe': one, 'without': one | dict(mean=.5)}
    with pytest.raises(FileNotFoundError, match='strangers.json'): people_table(tmp_path)
    (tmp_path/'people').mkdir()
    (tmp_path/'people'/'strangers.json').write_text(json.dumps(dict(people=ways)))
    alone = people_table(tmp_path).splitlines()
    assert alone[2] == '| mean over 2 strangers, 2,000 pictures | 90.0 % | 50.0 % |' and 'danrasband' not in alone[-1]
    (tmp_path/'people'/'strangers.json').write_text(json.dumps(dict(people=ways, danrasband=ways)))
    assert people_table(tmp_path).splitlines() == [*alone, '| danrasband, 2,000 photographs | 90.0 % | 50.0 % |']


def test_the_front_page_shows_what_was_tried_on_what(tmp_path):
    (tmp_path/'people').mkdir()
    one = dict(value=.5, pictures=4, interval=[.25, .75])
    names = 'validation, random frames', 'validation, held-out film', 'second test set'
    run = dict(accuracies=dict.fromkeys(names, one))
    people = dict(mean=.9, interval=[.85, .94], pictures=2000, people=dict(ann=.8, ben=1.))
    found = dict(people=dict.fromkeys(WITH_OR_WITHOUT, people))
    runs = dict.fromkeys(('1-original', '2-original-random', '3-original-film'), run)
    for name, what in (runs | {'people/strangers': found}).items():
        (tmp_path/f'{name}.json').write_text(json.dumps(what))
    assert run_of_record('1-original', tmp_path) == run
    *_, alone, last = front_table(tmp_path).splitlines()
    assert alone == '|  | 4 of these 4 photographs | 50.00 % of 4 (25.0 to 75.0) |'
    assert last.endswith('| 2,000 pictures of 2 people never trained on | 90.0 %, people averaged (85.0 to 94.0) |')
    found['danrasband'] = found['people']
    (tmp_path/'people'/'strangers.json').write_text(json.dumps(found))
    assert front_table(tmp_path).endswith('|  | 2,000 of these 4 photographs | 90.00 % of 2,000 |')

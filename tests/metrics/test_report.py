"Scores against cases worked by hand, degenerate ones, and what must hold for any answers"
import json, math, tracemalloc, warnings
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from asl_signs.metrics import report as reporting
from asl_signs.metrics.report import bootstrap_share, compare, score, wilson
from asl_signs.core.signs import SIGNS

NONE = [math.nan]*29


def says(**chances): return [chances.get(sign, 0) for sign in SIGNS]


def sure(*signs): return [says(**{sign: 1}) if sign else NONE for sign in signs]


# Degenerate, and wrong

def test_no_pictures_are_refused():
    with pytest.raises(ValueError, match='no pictures to score'): score(np.empty((0, 29)), [])


def test_one_picture_has_an_accuracy_and_no_interval():
    one = score(sure('A'), ['A'], title='one')
    assert (one.accuracy, one.top(3), one.macro_f1, len(one)) == (1, 1, 1, 1)
    assert all(map(math.isnan, one.interval()))
    assert 'only one scene' in repr(one) and '100.00 %' in DisplayFormatter().format(one)[0]['text/html']


def test_classes_nobody_asked_about_do_not_count():
    "`del` is missing: macro F1 is a mean over the signs that occur, and saying `del` is wrong all the same"
    report = score(sure('A', 'B', 'del'), ['A', 'B', 'B'])
    assert report.macro_f1 == pytest.approx((1 + 2/3)/2)
    assert report.accuracy == pytest.approx(2/3)
    of_del = report.per_sign.loc['del']
    assert math.isnan(of_del.recall) and of_del.said == 1 and of_del.precision == 0
    assert 'del' not in report.to_dict()['per_sign']


@pytest.mark.parametrize('sign', ['ä', 'a', '', None, 29, -1, 'Del'])
def test_a_label_outside_the_vocabulary_is_named_with_its_picture(sign):
    with pytest.raises(ValueError, match='two.jpg: .* is not one of the 29 signs'):
        score(sure('A', 'B'), ['A', sign], ['one.jpg', 'two.jpg'])


def test_no_answer_is_a_wrong_answer():
    report = score(sure('A', None, None), ['A', 'A', 'nothing'])
    assert report.accuracy == report.top(3) == pytest.approx(1/3)
    assert report.confusion['no answer'].sum() == 2 and report.confusion.values.sum() == 3
    assert report.loss == pytest.approx((0 + 2*math.log(29))/3, abs=1e-6)
    assert report.calibration_error == pytest.approx((0 + 2/29)/3)
    assert report.to_dict()['no_answer'] == 2


def test_no_answer_to_anything():
    report = score([NONE]*3, ['A', 'B', 'A'], scenes=[1, 2, 3])
    assert (report.accuracy, report.top(3), report.macro_f1) == (0, 0, 0)
    assert report.interval() == (0, 0)
    assert 'not at all' in report.confused_in_words()


@pytest.mark.parametrize('row', [[1]*29, [-1, 2, *[0]*27], [math.nan, 1, *[0]*27], [math.inf, *[0]*28], [0]*29])
def test_numbers_that_are_no_probabilities_are_refused(row):
    with pytest.raises(ValueError, match='b.jpg: its 29 numbers are no probabilities'):
        score([says(A=1), row], ['A', 'B'], ['a.jpg', 'b.jpg'])


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match=r'shape \(1, 28\)'): score([[1/28]*28], ['A'])
    with pytest.raises(ValueError, match='2 answers, 1 pictures and 1 scenes'):
        score(sure('A', 'B'), ['A', 'B'], ['a.jpg'])
    with pytest.raises(ValueError, match='there should be one of each'): score(sure('A', 'B'), ['A', 'B'], scenes=[1])


# By hand

def test_top_three_counts_the_third_and_not_the_fourth():
    third = says(B=.4, C=.3, A=.2, D=.1)
    assert score([third], ['A']).top(3) == 1 and score([third], ['D']).top(3) == 0
    assert score([third], ['A']).accuracy == 0


def test_precision_and_recall():
    "A is said four times, thrice rightly; of five pictures of A three are read"
    report = score(sure('A', 'A', 'A', 'B', 'C', 'A'), ['A', 'A', 'A', 'A', 'A', 'B'])
    row = report.per_sign.loc['A']
    assert (row.right, row.of, row.said, row.precision, row.recall) == (3, 5, 4, 3/4, 3/5)


def test_calibration_error_of_two_bins():
    "Four pictures at 80 %, of which half are right; two at 50 %, of which all are"
    probs = [says(A=.8, B=.2)]*4 + [says(A=.5, B=.5)]*2
    report = score(probs, [*'AABBAA'])
    assert report.calibration_error == pytest.approx((4*.3 + 2*.5)/6)


def test_full_confidence_falls_into_the_last_bin():
    assert score(sure('A'), ['A']).calibration().index.tolist() == [14]


def test_wilson_against_the_textbook():
    assert wilson(0, 20) == pytest.approx((0, .1611), abs=1e-3)
    assert wilson(20, 20) == pytest.approx((.8389, 1), abs=1e-3)
    assert all(map(math.isnan, wilson(0, 0)))


def test_an_interval_over_scenes_is_wider_when_scenes_stand_together():
    right = np.repeat(np.arange(20) % 2, 10) # each scene of ten is read wholly or not at all
    report = score(sure(*('A' if r else 'B' for r in right)), ['A']*200, scenes=np.repeat(range(20), 10))
    width, narrow = (high - low for low, high in (report.interval(), report.interval(by_scene=False)))
    assert 2.5 < width/narrow < 4 # the square root of ten
    assert 6 < report.design_effect < 15


def test_an_interval_over_many_pictures_takes_little_memory(monkeypatch):
    "All samples at once would take 240 MB here, and gigabytes for the real film; batches give the same bounds"
    right = np.random.default_rng(42).integers(0, 2, 2000)
    tracemalloc.start()
    bounds = bootstrap_share(right, np.ones(2000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6
    monkeypatch.setattr(reporting, '_AT_ONCE', 10**9)
    assert bootstrap_share(right, np.ones(2000)) == bounds


def test_the_interval_is_the_same_each_time():
    one, other = (score(sure(*'ABAABA'), [*'AAAAAA'], scenes=[1, 1, 2, 2, 3, 3]) for _ in range(2))
    assert one.interval() == other.interval()


def test_a_better_reader_is_distinguished_from_a_worse_one():
    answers, scenes = ['A']*60, np.repeat(range(30), 2)
    worse = score(sure(*('A' if i % 3 else 'B' for i in range(60))), answers, scenes=scenes, title='worse')
    best = score(sure(*'A'*60), answers, scenes=scenes, title='best')
    assert compare(worse, best).gain() == pytest.approx(1/3)
    assert 'best is better' in repr(compare(worse, best)) and 'best is better' in repr(compare(best, worse))
    assert 'neither is shown to be better' in repr(compare(best, best))


def test_readers_of_other_pictures_are_not_compared():
    with pytest.raises(ValueError, match='2 were shown to one of them alone, for example a.jpg'):
        compare(score(sure('A'), ['A'], ['a.jpg']), score(sure('A'), ['A'], ['b.jpg']))
    with pytest.raises(ValueError, match='in the same order'):
        compare(score(sure('A', 'A'), ['A', 'A'], ['a', 'b']), score(sure('A', 'A'), ['A', 'A'], ['b', 'a']))


def test_a_report_is_kept_as_json_whole_or_not_at_all(tmp_path):
    report = score(sure('A', None), ['A', 'B'], title='two')
    kept = json.loads(report.save(tmp_path/'two.json').read_text())
    assert kept['title'] == 'two' and kept['read_as']['B'] == {'no answer': 1} and kept['per_sign']['A']['right'] == 1
    assert [file.name for file in tmp_path.iterdir()] == ['two.json']


# Whatever was answered

@st.composite
def answered(draw):
    "Probabilities, answers and scenes of a few pictures"
    n = draw(st.integers(1, 30))
    chances = draw(arrays.arrays(float, (n, 29), elements=st.floats(.001, 1)))
    chances /= chances.sum(1, keepdims=True)
    chances[draw(arrays.arrays(bool, n))] = np.nan
    def number(most): return draw(arrays.arrays(int, n, elements=st.integers(0, most)))
    return chances, number(28), number(5)


@settings(max_examples=40)
@given(answered())
def test_what_must_hold_for_any_answers(made):
    chances, answers, scenes = made
    with warnings.catch_warnings():
        warnings.simplefilter('error', RuntimeWarning)
        report = score(chances, answers, scenes=scenes)
        kept = report.to_dict()
    n = len(answers)
    if all(sum(row == row.max()) == 1 for row in report.filled): # of equals, none is the first
        assert report.accuracy == report.top(1)
    assert report.top(1) <= report.top(3) <= report.top(29) == pytest.approx(report.answered.mean())
    assert report.confusion.values.sum() == n
    assert np.diag(report.confusion).sum() == report.right.sum() == round(report.accuracy*n)
    assert report.per_sign.of.sum() == n and report.per_sign.said.sum() == report.answered.sum()
    assert 0 <= report.calibration_error <= 1 and 0 <= report.macro_f1 <= 1 and report.loss >= 0
    assert report.calibration().pictures.sum() == n
    assert report.by_confidence.accuracy.iloc[-1] == pytest.approx(report.accuracy)
    low, high = report.interval()
    assert math.isnan(low) == (len({*scenes}) < 2)
    if not math.isnan(low): assert 0 <= low <= high <= 1
    assert report.design_effect >= 1 and sum(sum(row.values()) for row in kept['read_as'].values()) == n


@settings(max_examples=20)
@given(answered(), st.randoms(use_true_random=False))
def test_the_order_of_pictures_does_not_matter(made, random):
    chances, answers, scenes = made
    order = [*range(len(answers))]
    random.shuffle(order)
    one, other = score(chances, answers), score(chances[order], answers[order])
    for figure in ('accuracy', 'macro_f1', 'loss', 'calibration_error'):
        assert getattr(one, figure) == pytest.approx(getattr(other, figure))


def test_names_and_numbers_of_signs_are_the_same():
    for signs in (SIGNS, range(29), np.arange(29)): assert score(np.eye(29), signs).accuracy == 1


# One scene: an accuracy, and nothing about others

def strict(text):
    "What JSON a program reads that is not Python"
    def refuse(word): raise ValueError(f'{word} is no JSON')
    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize('signs', [['A'], ['A', 'A', 'B', None]], ids=['one picture', 'four'])
def test_one_scene_is_kept_as_json_without_an_interval(signs, tmp_path):
    report = score(sure(*signs), ['A']*len(signs), scenes=['anna']*len(signs))
    kept = strict(report.save(tmp_path/'one.json').read_text())
    assert kept['interval'] == [None, None] and kept['per_sign']['A']['right'] == signs.count('A')
    assert 'low' not in kept['per_sign']['A'] and report.per_sign[['low', 'high']].isna().all(axis=None)
    for name in ('interval, drawing scenes', 'too narrow: drawing pictures'):
        assert report.rows()[name] == 'cannot be said: there is only one scene'


@pytest.mark.parametrize('answers', [['A'], ['A', 'B'], ['A']*4])
def test_json_of_any_report_is_json(answers, tmp_path):
    for scenes in (None, [1]*len(answers)):
        for probs in (sure(*answers), [NONE]*len(answers)):
            strict(score(probs, answers, scenes=scenes).save(tmp_path/'some.json').read_text())


def test_scenes_may_have_any_names():
    for scenes in (['b', 'a', 'b'], [3, 1, 3], [('anna', 'A'), ('anna', 'B'), ('anna', 'A')], np.array([2., 1., 2.])):
        assert score(sure(*'AAA'), [*'AAA'], scenes=scenes).scenes.tolist() in ([1, 0, 1], [0, 1, 0])


@pytest.mark.parametrize('nothing', [None, math.nan])
def test_a_picture_without_a_scene_is_named(nothing):
    with pytest.raises(ValueError, match='two.jpg: nothing says which scene'):
        score(sure(*'AA'), [*'AA'], ['one.jpg', 'two.jpg'], scenes=['anna', nothing])

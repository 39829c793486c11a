"Plots of reports of every kind, down to those in which there is next to nothing"
import warnings
import matplotlib
matplotlib.use('agg')
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from asl_signs.metrics.plots import (ORIGINAL, mistakes, plot_confusion, plot_intervals, plot_mistakes,
                                     plot_reliability, plot_signs, similar_order)
from asl_signs.metrics.report import percent, score
from asl_signs.core.signs import SIGNS

PLOTS = plot_signs, plot_confusion, plot_reliability, plot_mistakes
KINDS = 'one right', 'one wrong', 'one unanswered', 'all right', 'one sign', 'no answers', 'one scene', 'many'


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    file = tmp_path_factory.mktemp('pictures')/'grey.png'
    Image.new('RGB', (8, 8), 'gray').save(file)
    return file


@pytest.fixture(autouse=True)
def nothing_stays_open():
    plt.close('all') # what other tests have left
    yield
    assert not plt.get_fignums(), 'a plot left its figure open'


def says(**chances): return [chances.get(sign, 0) for sign in SIGNS]


def random_reader(n, seed=42): return np.random.default_rng(seed).dirichlet([.2]*len(SIGNS), n)


def degenerate(kind, picture):
    "A report of each kind in `KINDS`"
    signs = [SIGNS[i % len(SIGNS)] for i in range(58)]
    probs, shown, scenes = {
        'one right': ([says(A=1)], ['A'], None), 'one wrong': ([says(A=.9, B=.1)], ['B'], None),
        'one unanswered': ([says(A=np.nan, B=1)], ['B'], None), 'all right': (np.eye(29)[[*range(29)]*2], signs, None),
        'one sign': (random_reader(12), ['S']*12, [*range(6)]*2),
        'no answers': (np.full((58, 29), np.nan), signs, [*range(29)]*2),
        'one scene': (random_reader(58), signs, [7]*58), 'many': (random_reader(58), signs, None)}[kind]
    probs = np.where(np.isnan(probs).any(1, keepdims=True), np.nan, probs)
    return score(probs, shown, [picture]*len(shown), scenes, title=kind)


def inside(figure): # nothing is cut off at the edge of the figure
    figure.draw_without_rendering() # lays it out
    page, drawn = figure.bbox, figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    return drawn.x0 >= page.x0 - 1 and drawn.y0 >= page.y0 - 1 and drawn.x1 <= page.x1 + 1 and drawn.y1 <= page.y1 + 1


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('plot', PLOTS, ids=lambda plot: plot.__name__)
def test_every_report_can_be_plotted(plot, kind, picture):
    with warnings.catch_warnings():
        warnings.filterwarnings('error', category=RuntimeWarning)
        warnings.filterwarnings('error', category=UserWarning)
        figure = plot(degenerate(kind, picture))
        if isinstance(figure, str): assert figure == 'Nothing was misread.' and kind in ('one right', 'all right')
        else: assert inside(figure)


def test_long_titles_are_folded(picture):
    report = degenerate('many', picture)
    report.title = 'somebody who was asked about many pictures '*4
    for plot in PLOTS: assert inside(plot(report))


def test_bars_are_as_high_as_recall(picture):
    report = score(random_reader(90), [*'ABC']*30, [picture]*90)
    axes, = plot_signs(report).axes
    assert [bar.get_height() for bar in axes.patches] == report.per_sign.recall[[*'ABC']].tolist()
    lines, = axes.collections # the intervals
    ends = [(line[0, 1], line[1, 1]) for line in lines.get_segments()]
    assert np.allclose(ends, report.per_sign.loc[[*'ABC'], ['low', 'high']])


def test_signs_without_pictures_are_named_and_not_drawn():
    figure = plot_signs(score([says(A=1), says(Z=1)], ['A', 'B']))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ['A', 'B']
    small = figure.get_supxlabel().split(' ', 3)[-1].replace('\n', ' ').split(', ')
    assert small == list(SIGNS[2:])


def test_nothing_is_said_of_missing_signs_where_there_are_none(picture):
    assert plot_signs(degenerate('many', picture)).get_supxlabel() == ''


@pytest.mark.parametrize('kind', (dict, pd.Series))
def test_marks_stand_at_the_signs_they_belong_to(kind):
    report = score([says(A=1), says(B=1)], ['A', 'C'])
    marks = plot_signs(report, kind(dict(C=.25, Z=1)), 'another').axes[0].collections[-1]
    (x, y), = marks.get_offsets()
    assert round(x) == 1 and y == .25 and marks.get_label() == 'another'


def test_another_reader_without_a_sign_in_common_leaves_no_mark():
    report = score([says(A=1)], ['A'])
    assert len(plot_signs(report, dict(B=1)).axes[0].collections) == len(plot_signs(report).axes[0].collections)


def test_the_original_read_539_of_870():
    assert (ORIGINAL.sum(), tuple(ORIGINAL.index)) == (539, tuple(SIGNS)) and ORIGINAL.between(0, 30).all()


def table(rows, columns, **counts): # e.g. AB=3: A was read as B three times
    made = pd.DataFrame(0, [*rows], [*columns, 'no answer'])
    for pair, times in counts.items(): made.loc[pair[0], pair[1] if len(pair) == 2 else 'no answer'] = times
    return made


def test_similar_signs_stand_side_by_side():
    order = similar_order(table('ABCDEF', 'ABCDEF', AA=5, AF=5, FF=9, FA=1, BB=5, BE=5, EE=10, CC=2, CD=8, DD=10))
    assert sorted(order) == [*'ABCDEF']
    for pair in ('AF', 'BE', 'CD'): assert abs(order.index(pair[0]) - order.index(pair[1])) == 1


def test_a_chain_of_similar_signs_is_a_chain():
    counts = table('ABCD', 'ABCD', AA=5, AC=5, CC=4, CA=3, CD=3, DD=5, DC=2, DB=3, BB=6, BD=4)
    assert similar_order(counts) == [*'ACDB']


def test_signs_only_said_come_last_and_no_answer_after_them():
    assert similar_order(table('ABC', 'ABC', AA=5, AC=1, A=2)) == ['A', 'C', 'no answer']
    assert similar_order(table('ABC', 'ABC', AA=5, BA=1, BB=3)) == ['A', 'B']


def test_signs_that_are_never_mixed_up_keep_their_order():
    assert similar_order(score(np.eye(29), SIGNS).confusion) == list(SIGNS)


@given(arrays(int, (6, 7), elements=st.integers(0, 9)))
def test_an_order_holds_each_sign_once(counts):
    made = pd.DataFrame(counts, [*'ABCDEF'], [*'ABCDEF', 'no answer'])
    if made.values.any():
        order = similar_order(made)
        assert len(order) == len({*order}) and {*order} == {*made.index[made.any(axis=1)], *made.columns[made.any()]}


def test_cells_hold_the_counts():
    report = score([says(A=1), says(B=1), says(B=1), [np.nan]*29], ['A', 'A', 'B', 'B'])
    axes, = plot_confusion(report).axes
    assert {text.get_position() for text in axes.texts} == {(0, 0), (1, 0), (1, 1), (2, 1)}
    assert {text.get_text() for text in axes.texts} == {'1'}
    assert axes.images[0].get_array().tolist() == [[.5, .5, 0], [0, .5, .5]]


def test_mistakes_come_by_falling_confidence_and_unanswered_ones_last(picture):
    probs = [says(A=.6, B=.4), says(A=.9, B=.1), [np.nan]*29, says(A=1), says(A=.7, C=.3), says(A=.9, C=.1)]
    report = score(probs, ['B', 'B', 'B', 'A', 'C', 'C'], [picture]*6)
    assert mistakes(report).tolist() == [1, 5, 4, 0, 2]
    assert mistakes(report, 2).tolist() == [1, 5] and mistakes(report, 0).tolist() == []
    titles = [axis.get_title() for axis in plot_mistakes(report, most=5, columns=3).axes]
    assert titles == ['1. A, 90 %\nshows B', '2. A, 90 %\nshows C', '3. A, 70 %\nshows C', '4. A, 60 %\nshows B',
                      '5. no answer\nshows B', '']


def test_files_may_be_words_for_paths(picture):
    report = score([says(A=.9, B=.1)], ['B'], [str(picture)])
    assert len(plot_mistakes(report).axes[0].images) == 1


@pytest.mark.parametrize('kind', KINDS)
def test_reliability_ends_at_the_accuracy(kind, picture):
    report = degenerate(kind, picture)
    left, right = plot_reliability(report).axes
    dots = report.calibration()[['confidence', 'accuracy']].values
    assert left.collections[-1].get_offsets().tolist() == dots.tolist()
    assert right.collections[-1].get_offsets().tolist() == [[1, report.accuracy]]
    assert right.texts[0].get_text() == percent(report.accuracy)


def test_intervals_of_reports_with_and_without_one(picture):
    many, one, right = (degenerate(kind, picture) for kind in ('many', 'one scene', 'all right'))
    figure = plot_intervals({report.title: report for report in (many, one, right)})
    assert inside(figure)
    lines, dots = figure.axes[0].lines[::2], figure.axes[0].lines[1::2]
    assert [dot.get_xdata()[0] for dot in dots] == [many.accuracy, one.accuracy, 1]
    assert tuple(lines[0].get_xdata()) == many.interval() and np.isnan(lines[1].get_xdata()).all()

"""Reports on the real archives, by recipe: `python bench/measure/evaluation.py FILM SECOND [RECIPE ...]`

FILM and SECOND are folders with (part of) grassknoted/asl-alphabet and danrasband/asl-alphabet-test. Each recipe
leaves a report in results/evaluation/ and a row for the README's table in results/. Networks are trained as the
lessons train them, pictures come from the cache (`fast=True`), and the backbone is EfficientNet-Lite0, whose weights
need no download. Every run of a recipe is one look at the second test set: count it in results/README.md."""
import numpy as np
from asl_signs.data import get_data
from asl_signs.evaluation import evaluate
from asl_signs.metrics.heatmaps import heat_at_edge, heat_maps
from asl_signs.robust import cross_validate
from asl_signs.core.settings import get_settings
from asl_signs.core.cache import as_json
from asl_signs.training import get_learner
from measuring import RESULTS, parser
from lessons import facts

SOURCE = 'reduced copies: 28 classes x 300 frames at 96 px, and half of the second test set without del'


def film_alone(data, settings):
    "Trained on the film: accuracy on what was kept of it, on the small test set, and a report on the second"
    learn = get_learner(data, settings)
    measured = {'film': 'validation, held-out film', 'random': 'validation, random frames'}[settings.split]
    sets = {measured: learn.dls.valid_ds.items, 'small test set': data.small_test, 'second test set': data.second_test}
    reports = {kind: evaluate(learn, files) for kind, files in sets.items()}
    for report in reports.values(): report.heat = heat(learn, report)
    return reports


def heat(learn, report):
    "The mean share of the heat that lies at the edge, of pictures read rightly and wrongly"
    edge = heat_at_edge(heat_maps(learn, report.files))
    sides = {'read rightly': report.right, 'read wrongly': ~report.right}
    return {name: float(np.nanmean(edge[side])) for name, side in sides.items() if side.any()}


def merged(share):
    "Trained on both sets but for a fifth of the second's scenes, in turn"
    return lambda data, settings: {'second test set': cross_validate(data, settings, share)}


RECIPES = { # name of the files -> (title, what differs from the original's settings, how it is measured)
    '2-original-random': ("the original's recipe, random frames held out", dict(split='random'), film_alone),
    '3-original-film': ("the original's recipe, film held out", dict(), film_alone),
    '5-quick-film': ('the quick recipe, film held out', dict(recipe='quick'), film_alone),
    '6-merged': ('both sets, quick recipe, by scenes: photographs as they are', dict(recipe='quick'), merged(None)),
    '7-merged-fifth': ('the same, photographs a fifth of the training', dict(recipe='quick'), merged(.2))}


def accuracy(report, settings):
    "What the README's table needs of a report"
    return dict(value=report.accuracy, pictures=len(report), interval=report.interval(), arch=settings.arch)


def measure(name, data):
    title, differs, how = RECIPES[name]
    settings = get_settings(data, **dict(arch='tf_efficientnet_lite0', fast=True) | differs)
    reports = how(data, settings)
    for kind, report in reports.items(): report.title = f'{title}: {kind}'
    about = facts(data, settings)
    about['data'] |= dict(source=SOURCE, found=SOURCE)
    row = dict(title=title, command=f'python bench/measure/evaluation.py FILM SECOND {name}') | about
    row |= dict(accuracies={kind: accuracy(report, settings) for kind, report in reports.items()})
    (RESULTS/f'{name}.json').write_text(as_json(row))
    about_heat = {kind: report.heat for kind, report in reports.items() if hasattr(report, 'heat')}
    found = reports['second test set'].to_dict() | (dict(heat_at_edge=about_heat) if about_heat else {})
    (RESULTS/'evaluation'/f'{name}.json').write_text(as_json(found))
    print(*reports.values(), sep='\n\n', flush=True)


def main(argv=None):
    "Measure the recipes that were asked for"
    args = parser(__doc__)
    for name in ('film', 'second'): args.add_argument(name, help='a folder')
    args.add_argument('recipes', nargs='*', metavar='recipe', help=f'default: all of {", ".join(RECIPES)}')
    args = args.parse_args(argv)
    data = get_data([args.film, args.second], people=())
    for name in args.recipes or RECIPES: measure(name, data)



if __name__ == '__main__': main()

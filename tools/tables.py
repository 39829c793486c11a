"""Where the figures in the README come from: tables in Markdown, made from the files in results/ and nothing else

A number without its circumstances is a rumour: each run is kept with its data, backbone, versions, machine and command,
and each accuracy is shown with the number of pictures. What was not measured is a dash: a zero would say that nothing
was read."""
import json, math
from pathlib import Path
from statistics import median
from asl_signs.core.cache import as_json


def keep(metrics:Path, # `metrics.json` of a run
         to:Path,      # a file in `results`
         title:str,    # what the run was, in a few words
         data:str,     # the pictures, for somebody who has no folder of that name
         command:str   # what was typed
        ):
    "Keep the numbers of a run, without the names of this machine's folders"
    run = json.loads(metrics.read_text())
    run['data'] |= dict(source=data, found=data)
    to.write_text(as_json(dict(title=title, command=command) | run))


def share(accuracy:dict|None # {'value': share, 'pictures': number}; None: not measured
         ) -> str:           # e.g. '61.95 % of 870'
    "An accuracy, with the number of pictures it was measured on"
    return f'{100*accuracy["value"]:.2f} % of {accuracy["pictures"]:,}' if accuracy else '–'


def with_interval(accuracy:dict|None # as for `share`; 'interval': two shares, or None where it cannot be said
                 ) -> str:           # e.g. '15.71 % of 420 (12.0 to 19.8)'
    "An accuracy, with the number of pictures and what it might have been"
    bounds = (accuracy or {}).get('interval') or [None]
    if any(bound is None or math.isnan(bound) for bound in bounds): return share(accuracy)
    return f'{share(accuracy)} ({_bounds(bounds)})'


def _bounds(shares): return ' to '.join(f'{100*bound:.1f}' for bound in shares)


MEASURED = ('validation, random frames', 'validation, held-out film', # names of accuracies
            'small test set', 'second test set')


def run_of_record(name:str,   # of a file in `results`, without its ending
                  folder:Path # `results`
                 ) -> dict:   # what it holds
    "One file of the numbers of record"
    return json.loads((folder/f'{name}.json').read_text(encoding='utf-8'))


def read_results(folder:Path # `results`
                ) -> list:   # of runs, in the order of their files' names
    "The numbers of record"
    return [json.loads(file.read_text()) for file in sorted(folder.glob('*.json'))]


def table(head,      # words
          rows,      # lists of words
          left:int=1 # how many columns are words; the others are numbers, and on the right
         ) -> str:   # Markdown
    "A table for README and notebooks"
    line = ['---']*left + ['--:']*(len(head) - left)
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in [head, line, *rows])


def results_table(folder:Path # `results`
                 ) -> str:    # Markdown
    "The runs of record, a row each"
    head = ['run', 'backbone, pixels', *MEASURED[:-1], f'{MEASURED[-1]} (95 % interval)']
    return table(head, [_results_row(run) for run in read_results(folder)], left=2)


def _results_row(run):
    *first, last = [run['accuracies'].get(name) for name in MEASURED]
    return [run['title'], '{arch}, {size}'.format(**run['settings']), *map(share, first), with_interval(last)]


WITH_OR_WITHOUT = 'with MediaPipe', 'without' # ways to read


def _ways(folder, who): # of 'people', or of 'danrasband': what each way read; [] if that was not measured
    found = run_of_record('people/strangers', folder)
    return [found[who][way] for way in WITH_OR_WITHOUT] if who in found else []


PARTS = {'the worst tenth of them': 'worst_tenth', # of what was measured on strangers: what a row is called -> its name
         'answers given at the threshold': 'answered',
         'of these right': 'right_when_answered'}


def people_table(folder:Path # `results`
                ) -> str:    # Markdown; FileNotFoundError if it was not measured
    "How the reader that ships reads people it has never seen"
    strangers, photographs = _ways(folder, 'people'), _ways(folder, 'danrasband')
    title = f'mean over {len(strangers[0]["people"])} strangers, {strangers[0]["pictures"]:,} pictures'
    rows = [_share_row(title, strangers, 'mean'),
            ['95 % interval, drawing people', *(_bounds(one['interval']) for one in strangers)],
            *(_share_row(title, strangers, name) for title, name in PARTS.items())]
    if photographs:
        rows.append(_share_row(f'danrasband, {photographs[0]["pictures"]:,} photographs', photographs, 'mean'))
    return table(['right', *WITH_OR_WITHOUT], rows)


def _share_row(title, ways, name): return [title, *(f'{100*one[name]:.1f} %' for one in ways)]


def front_table(folder:Path # `results`
               ) -> str:    # Markdown
    "What the front page shows: what was learned from, what was tried, and how much of it was read"
    original, random, film = (run_of_record(name, folder)['accuracies']
                              for name in ('1-original', '2-original-random', '3-original-film'))
    frames, take, _, second = MEASURED
    whole = original[second]
    alone = [dict(value=one['mean'], pictures=one['pictures']) for one in _ways(folder, 'danrasband')[:1]]
    rows = [*_tried_rows('the film: the original', ('random frames of the film', share(original[frames])),
                         ('photographs by another person', with_interval(whole))),
            *_tried_rows('the film, reduced: EfficientNet-Lite0, random frames held out',
                         ('these frames', share(random[frames])), _photographs(random[second], whole)),
            *_tried_rows('the same, one take held out',
                         ('this take', share(film[take])), _photographs(film[second], whole)),
            *_tried_rows('**film and many people: the reader that comes along**', _strangers(folder),
                         *(_photographs(one, whole) for one in alone))]
    return table(['learned from', 'tried on', 'read correctly (95 % interval)'], rows, left=2)


def _tried_rows(learned, *tried): # the first row names what was learned from; each of `tried` is what, and how much
    return [[learned if row is tried[0] else '', *row] for row in tried]


def _photographs(accuracy, whole): # of the second test set, on all of which the original was tried
    return f'{accuracy["pictures"]:,} of these {whole["pictures"]:,} photographs', with_interval(accuracy)


def _strangers(folder): # as the reader that ships reads them with MediaPipe
    people = _ways(folder, 'people')[0]
    return (f'{people["pictures"]:,} pictures of {len(people["people"])} people never trained on',
            f'{100*people["mean"]:.1f} %, people averaged ({_bounds(people["interval"])})')


COMPARED = { # name in the file -> (what a row is called, its unit)
    'input pipeline': ('reading pictures into batches', 'a second'),
    'building the cache': ('building the cache', 'a second'),
    'training, resnet18': ('training resnet18', 'a second'),
    'training, EfficientNet-Lite0': ('training EfficientNet-Lite0', 'a second'),
    'time to accuracy': ('until held-out film is read as well', 's')}


def bench_table(folder:Path # `results`
               ) -> str:    # Markdown
    "What the fast way is worth, a row a comparison"
    figures = run_of_record('bench/full', folder) # what `make bench` measured
    rows = [_compared_row(figures[name], title, unit) for name, (title, unit) in COMPARED.items()]
    return table(['', 'plain', 'fast', 'times as fast (range)'], rows)


def _compared_row(found, title, unit):
    speeds = [f'{found[way]:,.0f} {unit}' for way in ('plain', 'fast')]
    return [f'{title}, {found["size"]} px', *speeds, '{ratio:.1f} ({lowest:.1f} to {highest:.1f})'.format(**found)]


WAYS = {'the recipe of the lessons, plain': ('plain', 'accuracy'),
        'the same, `fast=True`': ('same_recipe', 'same_recipe_reads'),
        "the quick recipe, `recipe='quick'`": ('ends', 'ends_with')}


def recipe_table(folder:Path # `results`
                ) -> str:    # Markdown
    "How long each way to train takes, and what it reads of held-out film in the end"
    runs, rows = run_of_record('bench/full', folder)['time to accuracy']['runs'], []
    for title, (seconds, reads) in WAYS.items():
        took, right = ([run[name] for run in runs] for name in (seconds, reads))
        read = f'{100*median(right):.1f} % ({100*min(right):.1f} to {100*max(right):.1f})'
        rows.append([title, f'{median(took):.0f} s', read])
    return table(['', 'time', 'held-out film (range)'], rows)

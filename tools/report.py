"""What `make run` leaves: a page for every lesson and part, the figures, and the page that leads to them"""
import os, re
from pathlib import Path
from tempfile import TemporaryDirectory
import nbformat
from pages import figures, fill, page, summary_of, title_of
from tables import with_interval


def lessons_in(nbs:Path   # the folder of notebooks
              ) -> list:  # paths, in order
    "The lessons: the notebooks whose names begin with a number, so that a new one is run as soon as it is there"
    return sorted(nbs.glob('[0-9][0-9]_*.ipynb'))


ROOMS = 'core', 'datasets', 'runtime', 'train', 'models', 'metrics', 'web' # in the order in which to read them


def parts_in(nbs:Path     # the folder of notebooks
            ) -> list:    # paths, room by room
    "The parts that lessons use"
    return [path for room in ROOMS for path in sorted((nbs/room).glob('[0-9][0-9]_*.ipynb'))]


def fronts_in(nbs:Path  # the folder of notebooks
             ) -> list: # paths
    "The notebooks that are no lesson and no part, in the order in which to read them"
    return [nbs/f'{name}.ipynb' for name in ('index', 'using', 'results')]


def replace_folder(new:Path, # a folder
                   old:Path  # its place, on the same disk; a folder that stands there goes
                  ):
    "Put a folder in the place of another"
    # A folder cannot be renamed to one that has something in it, and one that is being deleted may be left half.
    with TemporaryDirectory(dir=old.parent, prefix='.old-') as aside:
        before = Path(aside)/old.name
        try:
            if old.exists(): os.replace(old, before)
            os.replace(new, old)
        except BaseException: # also an interrupt: one of the two stays
            if before.exists() and not old.exists(): os.replace(before, old)
            raise


def within(nb,       # a notebook; changed in place
           depth:int # folders between the report's and the page's, and one more
          ):         # the same notebook
    "Links that leave the report, for the repository's own texts, become plain text"
    outside = re.compile(rf'\[([^\]]*)\]\((?:\.\./){{{depth}}}[^)]*\)')
    for cell in nb.cells:
        if cell.cell_type == 'markdown': cell.source = outside.sub(r'\1', cell.source)
    return nb


def write_pages(ran:dict, # name -> notebook with outputs, of the lessons
                nbs:Path, # the folder of notebooks
                to:Path   # the report's folder
               ) -> dict: # name of a figure's file -> its caption
    "Write the page of every lesson and part, and the figures of the lessons with their captions"
    about = [('Report', 'index.html'), *((title_of(nb), f'{name}.html') for name, nb in ran.items())]
    for folder in (*ROOMS, 'figures'): (to/folder).mkdir()
    captions = {}
    for name, nb in ran.items():
        (to/f'{name}.html').write_text(page(within(nb, 1), nbs, about), encoding='utf-8')
        for file, (png, caption) in figures(nb, name).items():
            (to/'figures'/file).write_bytes(png)
            captions[file] = caption
    # Parts are not run again. Their pages are there so that links of lessons lead somewhere, one folder deeper.
    up = [(title, f'../{at}') for title, at in about]
    for path in parts_in(nbs):
        part = page(within(nbformat.read(path, 4), 2), nbs, up)
        (to/path.parent.name/f'{path.stem}.html').write_text(part, encoding='utf-8')
    return captions


def accuracy_rows(accuracies:dict # name -> {'value': share, 'pictures': number, …}
                 ) -> list:       # (name, percentage, how many of how many)
    "Accuracies as a person reads them"
    return [(name, f'{a["value"]:.2%}', f'{round(a["value"]*a["pictures"])} of {a["pictures"]}')
            for name, a in accuracies.items()]


STORY = { # what was measured -> what it says
    'validation, random frames': 'Of random frames held out for validation it read {}; each has a near-copy among the '
                                 'frames trained on, so this promises nothing for other pictures.',
    'validation, held-out film': 'Of film that was held out it read {}: other frames, but the same hand.',
    'small test set': 'Of the small test set it read {}; these pictures are as near to the frames trained on as the '
                      'frames are to each other.',
    'second test set': 'Of the second test set, which another person took, it read {}: this number says what to '
                       'expect elsewhere.',
    'second test set, merged recipe by scenes': 'Trained on photographs as well, and tested on scenes left out, it '
                                                'read {}; the person was known from other scenes.'}


def story(metrics:dict # what `metrics.json` holds
         ) -> list:    # sentences, at most five: what was not measured is left out
    "What a run found, for somebody who reads nothing else"
    found = metrics['accuracies']
    arch, pictures = metrics['settings']['arch'], metrics['data']['train']
    said = [f'A network ({arch}) learned to read signs from {pictures:,} pictures of the training set.']
    for name, sentence in STORY.items():
        if not (accuracy := found.get(name)): continue
        said.append(sentence.format(with_interval(accuracy).replace('(', '(95 % interval ')))
    return said


def index_page(metrics:dict,  # what `metrics.json` holds
               ran:dict,      # name -> notebook with outputs, of the lessons
               nbs:Path,      # the folder of notebooks
               to:Path,       # the report's folder, with its pages and figures
               captions:dict  # name of a figure's file -> its caption
              ) -> str:       # HTML
    "The page that leads to all others"
    # Made last: it lists the files that lie in the folder by then.
    lessons = [dict(name=name, title=title_of(nb), summary=summary_of(nb), seconds=metrics['seconds'][name])
               for name, nb in ran.items()]
    about = [('Report', 'index.html'), *((lesson['title'], f'{lesson["name"]}.html') for lesson in lessons)]
    return fill('report.html', nbs, title='Report', about=about, metrics=metrics, lessons=lessons,
                story=story(metrics), accuracies=accuracy_rows(metrics['accuracies']),
                parts=[f'{p.parent.name}/{p.stem}' for p in parts_in(nbs)],
                files=sorted(f.name for f in to.iterdir() if f.suffix in ('.json', '.pkl')),
                captions=captions)

"""The first cells of a lesson, which are the same in all: how long it takes, how to run it elsewhere, the installation

They are written by `make prepare`, so that the project's address stands in one place, and no number is typed."""
import math, re, tomllib
from pathlib import Path
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
from pages import summary_of, title_of
from tables import run_of_record, table

ROOT = Path(__file__).resolve().parent.parent
STAMPED = 'badges', 'times', 'elsewhere', 'install' # ids of the cells that `stamp` writes
EXTRAS = {'app': '[app]'} # module of a lesson -> what it needs beside the requirements
FOLDED = {'cellView': 'form', 'jupyter': {'source_hidden': True}} # the installation, in Colab and in JupyterLab
A_MINUTE = 200 # words that a person reads


def address(root:Path=ROOT # the folder of pyproject.toml
           ) -> str:       # without a slash at its end; '' until one is decided
    "The project's address on GitHub, as pyproject.toml gives it"
    project = tomllib.loads((root/'pyproject.toml').read_text(encoding='utf-8'))['project']
    return project.get('urls', {}).get('Repository', '').rstrip('/')


def badges(name:str, # of a notebook, below `nbs`
           at:str    # the project's address on GitHub
          ) -> str:  # Markdown
    "Buttons that open a notebook on Colab and on Kaggle"
    blob = f'{at}/blob/main/nbs/{name}'
    colab, kaggle = 'https://colab.research.google.com', 'https://kaggle.com'
    on_colab = blob.replace('https://github.com', f'{colab}/github')
    return (f'[![Open in Colab]({colab}/assets/colab-badge.svg)]({on_colab}) '
            f'[![Open in Kaggle]({kaggle}/static/images/open-in-kaggle.svg)]({kaggle}/kernels/welcome?src={blob})')


def module_of(nb      # a lesson
             ) -> str: # e.g. 'training'; '' if it exports nothing
    "The module that a lesson exports"
    found = (re.search(r'^#\| default_exp (\w+)', cell.source, re.MULTILINE) for cell in nb.cells)
    return next((match[1] for match in found if match), '')


def install_cell(nb,       # a lesson
                 at:str,   # the project's address on GitHub, or ''
                 nbs:Path  # the folder of notebooks
                ) -> str:  # code
    "What installs the library on Colab and Kaggle, with what this lesson needs"
    code = (nbs/'_pages'/'install.py').read_text(encoding='utf-8').rstrip()
    return code.replace('@ADDRESS@', at).replace('@EXTRA@', EXTRAS.get(module_of(nb), ''))


def minutes(seconds:float # any
           ) -> str:      # e.g. 'a minute', '27 minutes', '5.7 hours'
    "A duration as one says it"
    if seconds >= 5400: return f'{seconds/3600:.1f} hours'
    whole = math.ceil(seconds/60)
    return 'a minute' if whole <= 1 else f'{whole} minutes'


def batches(original:dict # the run of record of the original
           ) -> dict:     # lesson -> how many; a lesson that is not there trains nothing on the pictures
    "How many batches a lesson trains on the full data; frames that are only compared count as well"
    film, bs = original['data']['train'], original['settings']['bs']
    epochs = original['settings']['epochs'] + original['settings']['freeze_epochs']
    held_out = (film - film*700//3000)//bs # a step an epoch: 500 of 3,000 frames are held out, beside gaps of 100
    fifth = film*5//4//bs                  # photographs repeated until they are a fifth
    small = 8*8000//bs                     # eight epochs of the small network
    return {'00_data': 2*(film//bs + small), '01_training': epochs*held_out + 100, # `lr_find` takes a hundred
            '02_evaluation': 3*original['data']['second_test']//bs,
            # Five folds, the one to export, and the film alone, each for two epochs.
            '03_robust': epochs*original['merged']['steps'] + 2*(6*fifth + held_out)}


def times(nb,       # a lesson
          path:Path # its file, in the folder of notebooks
         ) -> str:  # Markdown
    "How long a lesson takes to read, and to run: on the drawn sample, and on the full data with a graphics card"
    words = sum(len(cell.source.split()) for cell in nb.cells if cell.get('id') not in STAMPED)
    reading = minutes(300*math.ceil(words/A_MINUTE/5)) # in steps of five minutes
    original, sample = (run_of_record(name, path.parent.parent/'results') for name in ('1-original', '9-sample'))
    if path.stem not in sample.get('seconds', {}): return f'*About {reading} to read.*'
    measured = minutes(sample['seconds'][path.stem])
    number, one = batches(original).get(path.stem), original['epoch']['seconds']/original['epoch']['steps']
    full = (f'about {minutes(number*one)} on the full data with a graphics card (predicted: {number:,} batches, at the '
            f'{one:.1f} seconds that each took in the original\'s training on Colab)' if number else
            'and the same on the full data, because no network is trained on it (predicted)')
    return (f'*About {reading} to read. To run: {measured} on the drawn sample (measured on two idle processor cores), '
            f'{full}.*')


def elsewhere(nbs:Path,   # the folder of notebooks, beside `results`
              folded=True # behind a line that opens it?
             ) -> str:    # Markdown
    "How to run a lesson on Colab and Kaggle, and what a graphics card saves there"
    original, speed = (run_of_record(name, nbs.parent/'results') for name in ('1-original', 'bench/full'))
    plain = speed['training, resnet18']['plain'] # pictures a second
    settings, epoch = original['settings'], original['epoch']
    epochs = settings['epochs'] + settings['freeze_epochs']
    frames = epoch['steps']*settings['bs']
    text = (nbs/'_pages'/'elsewhere.md').read_text(encoding='utf-8').rstrip()
    if not folded: text = re.sub(r'</?details>|<summary>.*</summary>', '', text).strip()
    return text.format(epochs=epochs, card=minutes(epochs*epoch['seconds']), speed=plain,
                       cores=minutes(epochs*frames/plain))


def stamp(nb,       # a lesson; changed in place
          path:Path, # its file, in the folder of notebooks
          at:str     # the project's address on GitHub, or ''
         ):          # the same notebook
    "Write the first cells of a lesson: buttons (where there is an address), times, other places, the installation"
    title, *rest = [cell for cell in nb.cells if cell.get('id') not in STAMPED]
    buttons = [new_markdown_cell(badges(path.name, at), id='badges')] if at else []
    nb.cells = [title, *buttons, new_markdown_cell(times(nb, path), id='times'),
                new_markdown_cell(elsewhere(path.parent), id='elsewhere'),
                new_code_cell(install_cell(nb, at, path.parent), id='install', metadata=FOLDED), *rest]
    return nb


def lesson_table(nbs:Path # the folder of notebooks
                ) -> str: # Markdown
    "The lessons, a row each, with buttons to run them elsewhere where there is an address"
    lessons = [(path.name, nbformat.read(path, 4)) for path in sorted(nbs.glob('[0-9][0-9]_*.ipynb'))]
    at = address(nbs.resolve().parent)
    rows = [[f'[{title_of(nb)}]({name})', summary_of(nb), *[badges(name, at)]*bool(at)] for name, nb in lessons]
    head = ['lesson', 'what it is about', *['run it']*bool(at)]
    return table(head, rows, left=len(head))

"""The documentation as plain HTML: `make docs`

Every notebook as it is saved, lessons first, then parts by room in the order in which to read them; what the modules
offer, from their docments; a search that needs no server. nbconvert makes the pages of a report as well, so that what
a reader sees of a notebook is written once."""
import importlib, json, os, re, shutil
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
import nbformat
from nbdev.showdoc import show_doc
from nbformat.v4 import new_markdown_cell, new_notebook
from pages import page, title_of, to_pages
from report import ROOMS, fronts_in, lessons_in, parts_in, replace_folder

TEXTS = ('CONTRIBUTING.md', 'CHANGELOG.md', 'CODE_OF_CONDUCT.md', 'results/README.md', 'results/reader/trials.md',
         'results/teaching/trials.md') # pages that are no notebook
FILES = 'LICENSE', 'CITATION.cff'              # linked to as they are


def modules(package:Path # the folder of the library
           ) -> list:    # names, e.g. 'asl_signs.core.signs': those of lessons first, then those of rooms
    "The modules that offer something"
    files = [file.relative_to(package.parent).with_suffix('') for file in package.rglob('[a-z]*.py')]
    order = {'': -1} | {room: i for i, room in enumerate(ROOMS)}
    def place(file): return order.get(file.parts[1] if len(file.parts) > 2 else '', len(order)), str(file)
    return ['.'.join(file.parts) for file in sorted(files, key=place)]


def api_of(name:str # of a module
          ):        # a notebook with a cell of text for each name it offers; None if there is none
    "What a module offers, as its docments say"
    module = importlib.import_module(name)
    offered = [thing for thing in map(module.__dict__.get, getattr(module, '__all__', ())) if callable(thing)]
    if not offered: return None
    shown = [show_doc(thing, title_level=2)._repr_markdown_() for thing in offered]
    said = [re.sub(r'^.*?(?=## )', '', text, flags=re.DOTALL) for text in shown] # without a link to the source
    about = (module.__doc__ or name).strip().splitlines()[0]
    return new_notebook(cells=[new_markdown_cell(text) for text in (f'# {name}\n\n> {about}', *said)])


def sources(nbs:Path # the folder of notebooks
           ) -> dict: # group -> {path of the page: notebook}
    "Every page of the documentation, in order"
    root = nbs.parent
    def saved(paths): return {path.relative_to(nbs).with_suffix('.html'): nbformat.read(path, 4) for path in paths}
    groups = {'Start': saved(fronts_in(nbs)), 'Lessons': saved(lessons_in(nbs))}
    for room in ROOMS: groups[room] = saved(path for path in parts_in(nbs) if path.parent.name == room)
    found = {name: api_of(name) for name in modules(root/'asl_signs')}
    groups['API'] = {Path('api')/f'{name}.html': nb for name, nb in found.items() if nb}
    texts = {Path(name).with_suffix('.html'): (root/name).read_text(encoding='utf-8') for name in TEXTS}
    groups['Project'] = {path: new_notebook(cells=[new_markdown_cell(text)]) for path, text in texts.items()}
    return groups


def where(at:Path,    # the page, below the folder of the documentation
          target:str, # of a link: a path from the project's folder
         ) -> str:    # relative to the page
    "Where a link leads within the documentation"
    place, _, section = to_pages(target).partition('#')
    place = re.sub(r'^nbs/', '', place)
    if place == 'results' or place.startswith('results/') and not place.endswith('.md'): place = 'results/README.html'
    place = re.sub(r'\.md$', '.html', place)
    return os.path.relpath(place, at.parent) + (f'#{section}' if section else '')


def linker(at:Path,    # the page, below the folder of the documentation
           source:Path # its source, below the project's folder
          ):           # from the address in a link to the one it should have
    "Rewrites the links of a page"
    def link(address):
        if re.match(r'\w+:|#', address): return to_pages(address)
        return where(at, os.path.normpath(source.parent/address))
    return link


def text_of(html:str  # of a page
           ) -> str:  # one line
    "The words of a page, to be searched"
    main = re.search(r'<main>(.*)</main>', html, re.DOTALL)[1]
    return ' '.join(unescape(re.sub(r'<style.*?</style>|<img[^>]*>|<[^>]+>', ' ', main, flags=re.DOTALL)).split())


def write_docs(nbs:Path, # the folder of notebooks
               to:Path   # the folder of the documentation; what stood there is replaced
              ):
    "Write every page"
    groups, words = sources(nbs), []
    menu = {group: [(title_of(nb).removeprefix('asl_signs.'), at) for at, nb in found.items()]
            for group, found in groups.items()}
    to.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=to.parent, prefix='.making-') as folder:
        (part := Path(folder)/to.name).mkdir()
        for group, at, nb in [(group, at, nb) for group, found in groups.items() for at, nb in found.items()]:
            (part/at).parent.mkdir(parents=True, exist_ok=True)
            (part/at).write_text(html := _page(nb, nbs, at, group, menu), encoding='utf-8')
            words.append([title_of(nb), at.as_posix(), text_of(html)])
        search = (nbs/'_pages'/'search.js').read_text(encoding='utf-8')
        (part/'search.js').write_text(f'const PAGES = {json.dumps(words)}\n{search}', encoding='utf-8')
        for name in FILES: shutil.copy(nbs.parent/name, part/name)
        replace_folder(part, to)


def _page(nb, nbs, at, group, menu):
    source = Path('' if group in ('Project', 'API') else 'nbs')/at
    groups = {name: [(title, os.path.relpath(place, at.parent)) for title, place in entries]
              for name, entries in menu.items()}
    return page(nb, nbs, link=linker(at, source), template='docs.html', groups=groups, group=group, here=at.name,
                top=os.path.relpath('.', at.parent))


if __name__ == '__main__':
    root = Path(__file__).resolve().parent.parent
    write_docs(root/'nbs', root/'_docs')
    print('Open _docs/index.html in a browser.')

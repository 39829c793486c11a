"""What a reader sees of a notebook: in a browser, in the README, and with a button to run it elsewhere

Hidden cells and nbdev's directives are left out. nbconvert makes the page; quarto, which nbdev would take, comes from
no package registry, and a report should come out of `make run` on any machine, and open on any other, without a
network."""
import re
from base64 import b64decode
from html import unescape
from pathlib import Path
import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter, MarkdownExporter
from nbconvert.preprocessors import Preprocessor, RegexRemovePreprocessor
from pygments.formatters import HtmlFormatter
from asl_signs.core.cache import atomic_path


HIDDEN = r'#\|\s*(hide|default_exp)\b', r'\s*\Z' # patterns of cells to drop
ELSEWHERE = 'badges', 'elsewhere', 'install'     # ids of cells for other places than a page


def headings(cells      # of a notebook
            ) -> list:  # of strings, without their `#`; at least one
    "The headings in cells of text, in order"
    text = '\n'.join(cell.source for cell in cells if cell.cell_type == 'markdown')
    return re.findall(r'^#+ (.+)$', text, re.MULTILINE) or ['']


class ForReaders(Preprocessor):
    "An nbconvert preprocessor that drops nbdev's directives, describes figures and rewrites links"
    def __init__(self, link, **kwargs):
        super().__init__(enabled=True, **kwargs)
        self.link = link # a function from the address in a link to the one it should have

    def _relink(self, text):
        return re.sub(r'(?<=\]\()[^)\s]+', lambda found: self.link(found[0]), text)

    def preprocess(self,
                   nb,       # a notebook; changed in place
                   resources # of the exporter
                  ):         # (notebook, resources)
        "Drop the cells written for other places, then look at each that remains"
        nb.cells = [cell for cell in nb.cells if cell.get('id') not in ELSEWHERE]
        nb.metadata['language_info'] = {'name': 'python'}
        for i, cell in enumerate(nb.cells): cell.metadata['alt'] = caption_of(cell, headings(nb.cells[:i])[-1])
        return super().preprocess(nb, resources)

    def preprocess_cell(self,
                        cell,      # changed in place
                        resources, # of the exporter
                        index:int  # of the cell
                       ):          # (cell, resources)
        "Drop directives from code, rewrite links in text"
        if cell.cell_type == 'markdown': cell.source = self._relink(cell.source)
        if '#| echo: false' in cell.source: cell.metadata['transient'] = {'remove_source': True}
        if cell.cell_type == 'code': cell.source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.MULTILINE)
        for data in [output.data for output in cell.get('outputs', []) if 'text/markdown' in output.get('data', {})]:
            data['text/markdown'] = self._relink(data['text/markdown'])
        return cell, resources


def convert(nb,             # a notebook
            exporter,       # a class of nbconvert's exporters
            link,           # from the address in a link to the one it should have
            resources=None, # for the exporter
            **options       # of the exporter
           ):               # (text, resources)
    "What a reader sees of a notebook, converted"
    steps = [RegexRemovePreprocessor(patterns=HIDDEN, enabled=True), ForReaders(link)]
    plain = dict(exclude_input_prompt=True, exclude_output_prompt=True)
    return exporter(preprocessors=steps, **plain, **options).from_notebook_node(nb, resources)


def fill(template:str,   # name of a file in `nbs/_pages`
         nbs:Path,       # the folder of notebooks
         **values        # for the template
        ) -> str:        # HTML
    "A template, filled"
    day, night = (HtmlFormatter(style=style).get_style_defs('.highlight') for style in ('default', 'github-dark'))
    environment = Environment(loader=FileSystemLoader(nbs/'_pages'), autoescape=True)
    return environment.get_template(template).render(day=day, night=night, **values)


def title_of(nb      # a notebook
            ) -> str: # without its `#`
    "The title of a notebook: its first heading"
    return re.search(r'^# (.+)$', nb.cells[0].source, re.MULTILINE)[1]


def summary_of(nb      # a notebook
              ) -> str: # without its `>`
    "What a notebook is about: the quotation below its title"
    return re.search(r'^> (.+)$', nb.cells[0].source, re.MULTILINE)[1]


def slug(heading:str # with or without tags
        ) -> str:    # as GitHub names it, so that a link to a section leads there on GitHub and on a page
    "The address of a heading"
    return re.sub(r'[^\w\- ]', '', unescape(re.sub(r'<[^>]+>', '', heading)).lower()).strip().replace(' ', '-')


def to_pages(address:str # in a link
            ) -> str:    # the same, or that of a page
    "Links to notebooks lead to their pages, and those to a section as Jupyter writes it to its address there"
    if re.match(r'\w+:', address): return address
    place, _, section = address.partition('#')
    return re.sub(r'\.ipynb$', '.html', place) + (f'#{slug(section)}' if section else '')


def page(nb,                   # a notebook, with its outputs
         nbs:Path,             # the folder of notebooks
         about=(),             # (title, address) of the pages to get about to
         link=to_pages,        # from the address in a link to the one it should have
         template='page.html', # in `nbs/_pages`
         **values              # for the template
        ) -> str:              # HTML
    "A notebook as a web page"
    body, _ = convert(nb, HTMLExporter, link, template_name='basic')
    body = re.sub(r'<(h[1-6]) id="[^"]*">(.*?)<a class="anchor-link" href="[^"]*">.*?</a></h', _with_slug, body)
    sections = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body)
    return fill(template, nbs, title=title_of(nb), body=body, about=about, sections=sections, **values)


def _with_slug(found): return f'<{found[1]} id="{slug(found[2])}">{found[2]}</h'


def caption_of(cell,       # with a figure
               section:str # the heading above it
              ) -> str:    # a sentence or a few words
    "What a figure shows: what its cell says in a directive, or else the section it is in"
    found = re.search(r'^#\| fig-(?:cap|alt): (.+)$', cell.source, re.MULTILINE)
    return found[1] if found else section


def figures(nb,        # a notebook, with its outputs
            name:str   # of the notebook
           ) -> dict:  # file name -> (bytes of a PNG, caption)
    "The figures among a notebook's outputs"
    found, section = {}, ''
    for cell in nb.cells:
        section = headings([cell])[-1] or section
        for output in cell.get('outputs', []):
            if png := output.get('data', {}).get('image/png'):
                slug = re.sub(r'\W+', '-', section.lower()).strip('-')
                found[f'{name}-{len(found)+1}-{slug}.png'] = b64decode(png), caption_of(cell, section)
    return found


# nbconvert's Markdown calls every figure "png".
DESCRIBED = """{% extends 'markdown/index.md.j2' %}
{% block data_png %}![{{ cell.metadata.alt }}]({{ output.metadata.filenames['image/png'] }}){% endblock %}"""


def readme(nbs:Path   # the folder of notebooks
          ) -> dict:  # path below the project's folder -> bytes
    "README.md and its figures, made from index.ipynb; a test compares them with those that are there"
    def link(address):
        "Where a link of the front page leads from the project's folder"
        if re.match(r'\w+:|#', address): return address
        return address[3:] if address.startswith('../') else f'nbs/{address}'
    places = {'output_files_dir': 'nbs/images', 'unique_key': 'index'}
    front = nbformat.read(nbs/'index.ipynb', 4)
    text, resources = convert(front, MarkdownExporter, link, places, raw_template=DESCRIBED)
    text = re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'
    return {'README.md': text.encode(), **resources['outputs']}


def write_readme(nbs:Path # the folder of notebooks; the README lies above it
                ):
    "Write README.md and its figures"
    for name, content in readme(nbs).items():
        with atomic_path(nbs.parent/name) as part: part.write_bytes(content)

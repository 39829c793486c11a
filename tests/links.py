"Where the links of a folder of pages lead, and whether its pictures are described"
import re
from html.parser import HTMLParser
from urllib.parse import unquote


class Links(HTMLParser):
    "What a page links to, the addresses of its sections, and pictures that nothing is said about"
    def __init__(self, text):
        super().__init__()
        self.found, self.ids, self.silent = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.found += [attributes[name] for name in ('href', 'src') if attributes.get(name)]
        self.ids.add(attributes.get('id'))
        said = attributes.get('alt') or ''
        if tag == 'img' and (len(said) < 3 or 'No description' in said): self.silent.append(attributes['src'][:60])


def broken(folder):
    "Links that lead nowhere, also those to a section of another page, and what would be loaded from afar"
    pages = {path.resolve(): Links(path.read_text(encoding='utf-8')) for path in folder.rglob('*.html')}
    wrong = []
    for path, links in pages.items():
        for link in links.found:
            if re.match(r'\w+:', link): continue
            place, _, section = unquote(link).partition('#')
            target = (path.parent/place).resolve() if place else path
            there = target.is_file() and (not section or target not in pages or section in pages[target].ids)
            if not there: wrong.append(f'{path.name}: {link}')
        afar = re.findall(r'<(?:script|link)[^>]*(?:src|href)="https?:[^"]*', path.read_text(encoding='utf-8'))
        wrong += [f'{path.name}: {tag}' for tag in afar]
    return wrong


def silent(folder):
    "Pictures without a description"
    return [f'{path.name}: {image}' for path in folder.rglob('*.html')
            for image in Links(path.read_text(encoding='utf-8')).silent]

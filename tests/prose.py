"The numbers in prose, and whether each is accounted for in numbers_of_record.py"
import json, re
from pathlib import Path
from stamps import STAMPED # these cells are written from results/

CODE = re.compile(r'```.*?```|`[^`]*`|<[^>]*>|\$[^$]*\$', re.DOTALL)
LINK = re.compile(r'!?\]\([^)]*\)')
PAPER = re.compile(r'(doi|arXiv):[^\s\])]+')
NUMBER = re.compile(r'(?<![\w.,])[−+-]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)(?![.,]?\d)')
UNIT = re.compile(r'((,| to| and| or| of( the)?) [−+-]?[\d.,]*\d)*( ?%|\*\*| (points?|ms|milliseconds?|s|seconds?|'
                  r'minutes?|MB|GB|[GTP]FLOP|times|crops|a second|of( the)? \d[\d,]*)\b)')
# Which lesson, the year in a citation, which exercise:
NAMES = re.compile(r'\b[Ll]essons? \d(?: and \d)?|\b(?:19|20)\d\d\]|^\d(?=\. \*\*)')


def plain(text):
    "Prose without code and addresses, in one line"
    return re.sub(r'\s+', ' ', PAPER.sub('', LINK.sub(']', CODE.sub('`', text)))).strip()


def prose(notebook):
    "The prose of a notebook, a line a cell"
    cells = json.loads(Path(notebook).read_text(encoding='utf-8'))['cells']
    texts = [cell for cell in cells if cell['cell_type'] == 'markdown' and cell.get('id') not in STAMPED]
    return [plain(''.join(cell['source'])) for cell in texts]


def value(quoted):
    "A quoted number"
    return float(quoted.replace(',', '').replace('−', '-'))


def agrees(quoted, number):
    "Is that the number, rounded to the digits that are quoted?"
    digits = len(quoted.partition('.')[2])
    return abs(value(quoted) - number) <= .5*10**-digits + 1e-9


def looks_measured(line, found):
    "Has a number a unit, or a fraction, or is it so many of so many?"
    return '.' in found[0] or bool(UNIT.match(line, found.end()) or re.search(r'\d of( the)? $', line[:found.start()]))


def unaccounted(lines, known, every=True):
    "What is wrong with numbers in prose, all or those that look measured; `known`: what numbers_of_record.py says"
    wrong = [f'no longer said: {phrase!r}' for phrase in known if not any(phrase in line for line in lines)]
    for phrase, sources in known.items():
        quoted = NUMBER.findall(phrase)
        if isinstance(sources, str): continue # the reason why there is nothing to compare with
        if len(quoted) != len(sources):
            wrong.append(f'{phrase!r} has {len(quoted)} numbers, and {len(sources)} sources')
        wrong += [f'{phrase!r}: {said} is {number} in results/' for said, number in zip(quoted, sources)
                  if not isinstance(number, str) and not agrees(said, number)]
    for line in lines:
        covered = [found.span() for found in NAMES.finditer(line)]
        covered += [found.span() for phrase in known for found in re.finditer(re.escape(phrase), line)]
        for found in NUMBER.finditer(line):
            if any(start <= found.start() and found.end() <= end for start, end in covered): continue
            if not (every or looks_measured(line, found)): continue
            around = line[max(0, found.start() - 50):found.end() + 30]
            wrong.append(f'where does this come from? It is to be said in numbers_of_record.py: … {around} …')
    return wrong

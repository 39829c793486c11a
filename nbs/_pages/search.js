// Pages with all the words, those that have them in their title first.
const box = document.getElementById('search'), list = document.getElementById('found'), top_ = box.dataset.top
box.addEventListener('input', () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean)
  const has = (text, all) => all.every(word => text.toLowerCase().includes(word))
  const found = words.length ? PAGES.filter(([title, , text]) => has(title + ' ' + text, words)) : []
  found.sort((a, b) => has(b[0], words) - has(a[0], words))
  list.replaceChildren(...found.slice(0, 12).map(([title, at, text]) => {
    const entry = document.createElement('a'), excerpt = document.createElement('small')
    const from = Math.max(0, text.toLowerCase().indexOf(words[0]) - 40)
    entry.href = top_ + '/' + at
    entry.textContent = title
    excerpt.textContent = text.slice(from, from + 120)
    entry.append(excerpt)
    return entry
  }))
  if (words.length && !found.length) list.textContent = 'Nothing found.'
})

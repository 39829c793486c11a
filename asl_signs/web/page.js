// What Gradio leaves to do on the page of the app. `page_head` puts CAMERA_HELP before it.
(() => {
const byId = id => document.getElementById(id)

// Frames under way. Gradio's camera sends a frame whenever its timer says so, whether or not the last one has
// arrived. Every request to /stream/ goes through `fetch`, so that is where to count: while two frames wait for
// their answers, the next is dropped. Two, because the second travels while the first is being read.
// If no answer comes for two seconds, counting starts anew.
let underWay = 0, sentAt = 0
const send = window.fetch
window.fetch = (to, how) => {
  if (!/\/stream\/\w+$/.test(to)) return send(to, how)
  if (Date.now() - sentAt > 2000) underWay = 0
  if (underWay > 1) return Promise.resolve(new Response('{}'))
  underWay++
  sentAt = Date.now()
  return send(to, how)
}

// The box around the hand. `shares` are left, top, right and bottom as shares of the frame. The video keeps its
// proportions inside its element, so there may be margins; and it is shown as in a mirror, so left is right.
function placeBox(shares) {
  const video = document.querySelector('#camera video')
  const box = byId('box') ?? Object.assign(document.createElement('div'), {id: 'box'})
  if (!video || !shares) return box.remove()
  const [left, top, right, bottom] = shares.split(' ').map(Number)
  const {clientWidth, clientHeight, videoWidth, videoHeight} = video
  const scale = Math.min(clientWidth/videoWidth, clientHeight/videoHeight)
  const width = scale*videoWidth, height = scale*videoHeight
  box.style.left = `${video.offsetLeft + (clientWidth - width)/2 + (1 - right)*width}px`
  box.style.top = `${video.offsetTop + (clientHeight - height)/2 + top*height}px`
  box.style.width = `${(right - left)*width}px`
  box.style.height = `${(bottom - top)*height}px`
  video.after(box)
}

// The camera. The browser reports to the page why a camera does not start, and Gradio shows nothing of it.
const showHelp = why => byId('help').textContent = CAMERA_HELP[why] ?? CAMERA_HELP.other
function watchCamera() {
  if (!navigator.mediaDevices) return showHelp('insecure')
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
  navigator.mediaDevices.getUserMedia = wanted => open(wanted).then(
    stream => { showHelp('on'); startStream(20); return stream },
    error => { showHelp(error.name); throw error })
}

// Gradio waits for a second click, on a button called Record, though nothing is recorded.
function startStream(tries) {
  const button = document.querySelector('#camera .button-wrap button')
  if (button) button.click()
  else if (tries) setTimeout(startStream, 100, tries - 1)
}

// The keyboard. Keys that are no letters: speech control and screen readers use letters for something else. A key
// presses a button that can be seen, so the same key may do something else in another tab.
const KEYS = {Backspace: ['undo'], Delete: ['clear'], Copy: ['copy'], ArrowRight: ['teach-skip', 'practise-skip'],
              ArrowLeft: ['teach-repeat'], Escape: ['teach-stop', 'practise-stop']}
function onKey(event) {
  const elsewhere = 'input, select, textarea:not([disabled]), [contenteditable], [role=tablist], dialog'
  if (event.target.closest?.(elsewhere)) return
  const modified = event.ctrlKey || event.metaKey
  const copies = event.key == 'c' && modified && !String(getSelection())
  const ids = copies ? KEYS.Copy : modified || event.altKey ? [] : KEYS[event.key] ?? []
  const button = ids.map(byId).find(one => one?.offsetParent)
  if (!button) return
  event.preventDefault()
  button.click()
}

// The chart: a click shows a sign large, arrows move on, and Escape closes, as in every dialog.
function turnChart(by) {
  const pages = [...document.querySelectorAll('#chart article')]
  showLarge(pages[(pages.findIndex(page => !page.hidden) + by + pages.length) % pages.length].dataset.sign)
}
function showLarge(sign) {
  for (const page of document.querySelectorAll('#chart article')) page.hidden = page.dataset.sign != sign
  const dialog = document.querySelector('#chart dialog')
  if (!dialog.open) dialog.showModal()
}
function watchChart() {
  const dialog = document.querySelector('#chart dialog')
  byId('chart').addEventListener('click', event => {
    const {sign, turn} = event.target.closest('button')?.dataset ?? {}
    if (sign) showLarge(sign)
    else if (turn) Number(turn) ? turnChart(Number(turn)) : dialog.close()
    else if (event.target == dialog) dialog.close()
  })
  dialog.addEventListener('keydown', event => {
    const by = {ArrowRight: 1, ArrowLeft: -1}[event.key]
    if (by) turnChart(by)
  })
}

// The button Copy calls this; what it returns is shown.
window.copyText = async text => {
  try { await navigator.clipboard.writeText(text); return 'The text is copied.' }
  catch { return 'The browser does not let this page copy. Select the text, and copy it yourself.' }
}

// A new reading: one frame fewer is under way, and the box moves.
let lastFrame
function onReading() {
  const {frame, box} = document.querySelector('#panel .reading')?.dataset ?? {}
  if (frame != lastFrame) underWay = Math.max(0, underWay - 1)
  lastFrame = frame
  placeBox(box)
}

// It starts when Gradio has put its parts onto the page. Screen readers read a status aloud when it changes.
function start() {
  if (!['panel', 'help', 'said', 'undo', 'clear', 'copy', 'chart'].every(byId)) return setTimeout(start, 50)
  byId('said').setAttribute('role', 'status')
  const shortcuts = {undo: 'Backspace', clear: 'Delete', copy: 'Control+C'}
  for (const id in shortcuts) byId(id).setAttribute('aria-keyshortcuts', shortcuts[id])
  document.addEventListener('keydown', onKey)
  new MutationObserver(onReading).observe(byId('panel'), {subtree: true, childList: true, attributes: true})
  watchChart()
  watchCamera()
}
start()
})()

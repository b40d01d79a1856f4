// The page of a run that goes on: asks for its content every two seconds, and sends what the buttons say.
'use strict';

const token = document.querySelector('meta[name=token]').content;
const content = document.getElementById('content');
const live = document.getElementById('live');
const buttons = [...document.querySelectorAll('button[data-action]')];
const said = {
  checkpoint: 'A checkpoint is written behind the next step.',
  preview: 'Previews are drawn behind the next step.',
  stop: 'The run saves and stops behind the step at hand.',
};
let revision = document.querySelector('meta[name=revision]').content;
let hasEnded = false;

function show(html) {
  const open = [...content.querySelectorAll('details')].map((details) => details.open);
  content.innerHTML = html;
  content.querySelectorAll('details').forEach((details, index) => { details.open = open[index] ?? false; });
}

async function refresh() {
  try {
    const answer = await fetch('/content?after=' + encodeURIComponent(revision), {cache: 'no-store'});
    if (answer.status === 200) {
      revision = answer.headers.get('X-Revision');
      show(await answer.text());
    }
    if (answer.headers.get('X-Ended')) return end('The run has ended.');
  } catch {
    return end('The run has ended, or can\u2019t be reached. Its report.html has the whole.');
  }
  setTimeout(refresh, 2000);
}

function end(text) {
  hasEnded = true;
  live.textContent = text;
  for (const button of buttons) button.disabled = true;
}

for (const button of buttons) {
  button.addEventListener('click', async () => {
    button.disabled = true;
    try {
      const answer = await fetch('/' + button.dataset.action, {method: 'POST', headers: {'X-Token': token}});
      live.textContent = answer.ok ? said[button.dataset.action] : 'Refused: ' + (await answer.text());
    } catch {
      live.textContent = 'The run can\u2019t be reached.';
    }
    if (button.dataset.action !== 'stop') setTimeout(() => { button.disabled = hasEnded; }, 2000);
  });
}

refresh();

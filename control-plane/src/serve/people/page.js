'use strict';
(() => {
  const said = document.getElementById('said');
  const tell = (text, wrong) => {
    said.textContent = text;
    said.className = wrong ? 'wrong' : '';
  };
  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

  const ask = async (path, body) => {
    let answer;
    try {
      answer = await fetch(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    } catch {
      throw new Error('The server does not answer. Nothing was changed; try again in a while.');
    }
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(told.problem || 'The server could not do this now. Try again in a while.');
    return told;
  };
  // What the server says, as the browser wants it; and the browser's answer, as the server wants it.
  const asked = ({ publicKey }) => {
    publicKey.challenge = bytes(publicKey.challenge);
    if (publicKey.user) publicKey.user.id = bytes(publicKey.user.id);
    for (const list of [publicKey.excludeCredentials, publicKey.allowCredentials]) {
      for (const one of list || []) one.id = bytes(one.id);
    }
    return { publicKey };
  };
  const answered = ({ id, rawId, type, response }) => {
    const all = { clientDataJSON: text(response.clientDataJSON) };
    for (const name of ['attestationObject', 'authenticatorData', 'signature', 'userHandle']) {
      if (response[name]) all[name] = text(response[name]);
    }
    return { id, rawId: text(rawId), type, response: all };
  };
  const problem = (error) => {
    if (error.name === 'NotAllowedError') return 'Nothing was done: it was stopped, took too long, or no passkey fits.';
    if (error.name === 'InvalidStateError') return 'This device has a passkey for you already.';
    return error.message;
  };

  const ways = {
    async show() {
      const begun = await ask('/sign-in/begin', {});
      const key = await navigator.credentials.get(asked(begun.options));
      await ask('/sign-in/finish', { ceremony: begun.ceremony, answer: answered(key) });
      location.assign('/account');
    },
    async recover(fields) {
      await ask('/sign-in/recover', fields);
      location.assign('/account');
    },
    async make({ label }, { place, link }) {
      const begun = await ask(`${place}/begin`, { link });
      const key = await navigator.credentials.create(asked(begun.options));
      const made = await ask(`${place}/finish`, { link, label, ceremony: begun.ceremony, answer: answered(key) });
      if (made.codes.length) codes(made.codes);
      else location.assign('/account');
    },
    async ask(_, { path, id, next }) {
      const told = await ask(path, { id });
      if (told.codes) codes(told.codes);
      else location.assign(next || '/account');
    },
  };

  // Shown once: they are in this page and nowhere else.
  const codes = (all) => {
    const shown = document.getElementById('codes').content.cloneNode(true);
    const list = shown.querySelector('ul');
    for (const code of all) {
      const item = document.createElement('li');
      item.append(Object.assign(document.createElement('code'), { textContent: code }));
      list.append(item);
    }
    document.querySelector('main').replaceChildren(shown);
    document.querySelector('h1').focus();
  };

  for (const form of document.querySelectorAll('form[data-way]')) {
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const { sure, way } = form.dataset;
      if (sure && !confirm(sure)) return;
      const button = form.querySelector('button');
      button.disabled = true;
      tell('One moment …');
      try {
        await ways[way](Object.fromEntries(new FormData(form)), form.dataset);
      } catch (error) {
        tell(problem(error), true);
        button.disabled = false;
      }
    });
  }
})();

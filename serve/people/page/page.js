"use strict";
// One picture in, a card of bars for each model out. Everything from the server is put in as text, never as markup.
const byId = (id) => document.getElementById(id);
let settings = { max_body_bytes: Infinity, needs_key: false };
let turn = 0; // an answer that comes after a later picture was chosen is not shown
let lastPicture = null;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function say(text, isError) {
  byId("status").textContent = text;
  byId("status").className = isError ? "error" : "";
}

function percent(probability) {
  return (100 * probability).toFixed(probability < 0.1 ? 2 : 1) + " %";
}

function card(told) {
  const made = element("article");
  made.append(element("h2", told.model));
  const time = told.compute_ms === undefined ? "" : `${told.compute_ms.toFixed(1)} ms`;
  made.append(element("p", [told.is_ensemble ? "ensemble" : "", time].filter(Boolean).join(", ")));
  if (!told.sure) made.append(element("p", `not sure: below ${percent(told.unsure_below)}`, "unsure"));
  const list = element("ol");
  for (const one of told.top) {
    const item = element("li");
    const bar = element("span", undefined, "bar");
    bar.style.width = `${100 * one.probability}%`;
    item.append(element("span", one.class), element("span", percent(one.probability)), bar);
    list.append(item);
  }
  made.append(list);
  return made;
}

function preview(picture) {
  const shown = byId("preview");
  if (shown.src) URL.revokeObjectURL(shown.src);
  shown.src = URL.createObjectURL(picture);
  shown.hidden = false;
  shown.onerror = () => { shown.hidden = true; };
}

async function classify(picture) {
  const mine = ++turn;
  lastPicture = picture;
  byId("results").replaceChildren();
  if (picture.size > settings.max_body_bytes) {
    say(`The file is larger than the ${Math.floor(settings.max_body_bytes / 2 ** 20)} MB that this server takes.`, true);
    return;
  }
  preview(picture);
  say("classifying …");
  const headers = { "Content-Type": picture.type || "application/octet-stream" };
  if (byId("key").value) headers["X-API-Key"] = byId("key").value;
  const started = performance.now();
  let answer;
  let told;
  try {
    answer = await fetch("/predict", { method: "POST", body: picture, headers });
    told = await answer.json();
  } catch (error) {
    if (mine === turn) say(`The server cannot be reached (${error.message}).`, true);
    return;
  }
  if (mine !== turn) return;
  if (answer.status === 401) byId("key-form").hidden = false;
  if (!answer.ok) {
    say(told.error, true);
    return;
  }
  const size = `${told.image.width}×${told.image.height} ${told.image.format}`;
  say(`${size}, answered in ${(performance.now() - started).toFixed(0)} ms, of these ${told.decode_ms.toFixed(0)} ms to decode it`);
  byId("results").replaceChildren(...[...told.models, told.ensemble].filter(Boolean).map(card));
}

async function openCamera() {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    byId("video").srcObject = stream;
    byId("video").hidden = byId("shoot").hidden = false;
  } catch (error) {
    say(`No camera can be used here (${error.message}).`, true);
  }
}

function shoot() {
  const video = byId("video");
  const canvas = element("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  video.srcObject.getTracks().forEach((track) => track.stop());
  video.hidden = byId("shoot").hidden = true;
  canvas.toBlob((picture) => picture && classify(picture), "image/png");
}

function pictureIn(transfer) {
  return [...(transfer ? transfer.files : [])][0];
}

byId("file").addEventListener("change", (event) => event.target.files[0] && classify(event.target.files[0]));
byId("camera").addEventListener("click", openCamera);
byId("shoot").addEventListener("click", shoot);
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (lastPicture) classify(lastPicture);
});
document.addEventListener("dragover", (event) => { event.preventDefault(); byId("drop").classList.add("over"); });
document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  const picture = pictureIn(event.dataTransfer);
  if (picture) classify(picture);
});
document.addEventListener("paste", (event) => {
  const picture = pictureIn(event.clipboardData);
  if (picture) classify(picture);
});
byId("camera").hidden = !(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
fetch("/page/settings.json").then((answer) => answer.json()).then((told) => {
  settings = told;
  byId("key-form").hidden = !told.needs_key;
}).catch(() => {});

"use strict";
// One picture at a time: shown here, sent as it is, drawn over with the answer. Nothing is stored.

const at = (id) => document.getElementById(id);
const canvas = at("canvas");
const view = at("view");
let asked = 0;
let camera = null;

async function ask(file) {
  const mine = ++asked;
  say("Looking …", "");
  at("bars").replaceChildren();
  let picture;
  try {
    picture = await createImageBitmap(file); // turned upright by its EXIF, as the server does
  } catch {
    picture = null; // the server says what is wrong with it
  }
  if (mine === asked && picture) draw(picture, null);
  let told;
  let status;
  try {
    const response = await fetch("/predict", {
      method: "POST",
      body: file,
      headers: { "Content-Type": file.type || "application/octet-stream" },
    });
    status = response.status;
    told = await response.json();
  } catch {
    told = { error: "the server did not answer" };
  }
  if (mine !== asked) return; // another picture came meanwhile
  if (status === 401) return location.reload();
  if (told.error || told.detail) return say("No answer", told.error || String(told.detail));
  if (!told.probabilities) return say("No face", told.reason);
  if (picture) draw(picture, told);
  say(told.expression, "detector: " + percent(told.score));
  bars(told.probabilities);
}

function draw(picture, told) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  if (!told) return;
  const [left, top, right, bottom] = told.box;
  const size = Math.max(right - left, bottom - top);
  pen.scale(picture.width / told.width, picture.height / told.height);
  pen.strokeStyle = "#00e5ff";
  pen.lineWidth = Math.max(1.5, size / 90);
  pen.strokeRect(left, top, right - left, bottom - top);
  pen.fillStyle = "#ffc107";
  for (const [x, y] of told.points) {
    pen.beginPath();
    pen.arc(x + 0.5, y + 0.5, Math.max(1, size / 110), 0, 2 * Math.PI); // a point is a pixel's centre
    pen.fill();
  }
}

function bars(probabilities) {
  const lines = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
  at("bars").replaceChildren(...lines.map(([name, share]) => {
    const line = document.createElement("li");
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = share;
    bar.ariaLabel = name;
    line.append(text("span", name, ""), bar, text("span", percent(share), "share"));
    return line;
  }));
}

function text(kind, words, name) {
  const element = document.createElement(kind);
  element.textContent = words;
  element.className = name;
  return element;
}

function say(expression, note) {
  at("expression").textContent = expression;
  at("note").textContent = note;
}

function percent(share) {
  return (100 * share).toFixed(1) + " %";
}

async function openCamera() {
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" }, audio: false });
  } catch {
    return say("No camera", "the browser gives one on localhost or over https, if you allow it");
  }
  view.srcObject = camera;
  showCamera(true);
}

function takeStill() {
  const still = document.createElement("canvas");
  still.width = view.videoWidth;
  still.height = view.videoHeight;
  still.getContext("2d").drawImage(view, 0, 0);
  camera.getTracks().forEach((track) => track.stop());
  view.srcObject = null;
  showCamera(false);
  still.toBlob((blob) => ask(blob), "image/jpeg", 0.95);
}

function showCamera(on) {
  view.hidden = !on;
  canvas.hidden = on;
  at("still").hidden = !on;
  at("camera").hidden = on;
}

at("file").addEventListener("change", (event) => {
  if (event.target.files.length) ask(event.target.files[0]);
  event.target.value = "";
});
at("camera").addEventListener("click", openCamera);
at("still").addEventListener("click", takeStill);
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("stage").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) ask(event.dataTransfer.files[0]);
  });
}
if (!navigator.mediaDevices) at("camera").hidden = true;

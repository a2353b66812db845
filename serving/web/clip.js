// One clip, recorded or chosen: its text at one scale, or at all of them side by side.

import { differing } from "./words.js";
import { $, call, microphone, noise, show } from "./service.js";

let recorder = null;
let clip = null;

const read = scale => {
  const form = new FormData();
  form.append("file", clip.blob, clip.name);
  form.append("response_format", "verbose_json");
  if (scale) form.append("compression_scale", scale);
  return call("v1/audio/transcriptions", { method: "POST", body: form });
};

const showOne = ({ text, x_mome: facts }) => {
  show("text", text || "(no words)");
  show("fact-scale", facts.scale_chosen_by === "auto" ? `${facts.scale}, by its own noise` : facts.scale);
  show("fact-tokens", facts.tokens);
  show("fact-snr", noise(facts));
  show("fact-speech", `${Math.round(100 * facts.speech_share)} % of the time`);
  show("fact-used", facts.modalities.join(" and "));
  show("fact-latency", `${Math.round(facts.latency_ms)} ms`);
  show("fact-model", facts.model_version);
  $("facts").hidden = false;
};

const cell = (row, content, kind = "td") => {
  const made = document.createElement(kind);
  made.append(...content);
  row.append(made);
  return made;
};

const showRow = ({ text, x_mome: facts }, finest) => {
  const row = document.createElement("tr");
  cell(row, [facts.scale], "th").scope = "row";
  const parts = differing(finest.split(" "), text.split(" ")).flatMap(({ word, differs }) => {
    if (!differs) return [word, " "];
    const mark = document.createElement("mark");
    mark.textContent = word || "∅";
    if (!word) mark.title = "a word is missing here";
    return [mark, " "];
  });
  cell(row, text ? parts : ["(no words)"]);
  cell(row, [String(facts.tokens)]).className = "number";
  cell(row, [String(Math.round(facts.latency_ms))]).className = "number";
  $("sides").querySelector("tbody").append(row);
};

// Tokens of a second: 50 frames of sound and 25 of video, so many of them in a token.
const cost = name => {
  const [, audio, video] = name.match(/^a(\d+)v(\d+)$/);
  return 50 / audio + 25 / video;
};

const transcribe = async () => {
  $("text").className = "";
  show("text", "…");
  $("facts").hidden = $("sides").hidden = true;
  $("again").disabled = true;
  try {
    if ($("scale").value !== "all") {
      showOne(await read($("scale").value));
    } else {
      const names = [...$("scale").options].map(option => option.value).filter(name => /^a\d/.test(name));
      names.sort((one, other) => cost(other) - cost(one));
      $("sides").querySelector("tbody").replaceChildren();
      let finest = null;
      // One after the other: each has the machine to itself, so that their times can be compared.
      for (const name of names) {
        const reply = await read(name);
        finest ??= reply.text;
        showRow(reply, finest);
        $("sides").hidden = false;
      }
      show("text", "");
    }
  } catch (error) {
    $("text").className = "error";
    show("text", error.message);
  }
  $("again").disabled = false;
  document.dispatchEvent(new Event("answered"));
};

const take = (blob, name) => { clip = { blob, name }; transcribe(); };

const record = async () => {
  if (recorder) { recorder.stop(); return; }
  const camera = $("camera").checked;
  let stream;
  try {
    const video = camera && { width: 640, height: 480, frameRate: 25 };
    stream = await navigator.mediaDevices.getUserMedia({ audio: microphone, video });
  } catch (error) {
    $("text").className = "error";
    show("text", "no microphone or camera: " + error.message);
    return;
  }
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = event => parts.push(event.data);
  recorder.onstop = () => {
    stream.getTracks().forEach(track => track.stop());
    $("preview").srcObject = null;
    $("preview").hidden = true;
    const type = recorder.mimeType;
    recorder = null;
    $("record").classList.remove("active");
    show("record", "Record");
    take(new Blob(parts, { type }), camera ? "clip.video" : "clip.audio");
  };
  if (camera) {
    $("preview").srcObject = stream;
    $("preview").hidden = false;
    $("preview").play();
  }
  recorder.start();
  $("record").classList.add("active");
  show("record", "Stop");
};

$("record").addEventListener("click", record);
$("again").addEventListener("click", transcribe);
$("file").addEventListener("change", () => { const file = $("file").files[0]; if (file) take(file, file.name); });

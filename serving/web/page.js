// What is served, and the parts of the page.

import { $, call, show } from "./service.js";
import { drawHour } from "./hour.js";
import "./clip.js";
import "./live.js";

const refresh = async () => {
  try {
    const [{ id, x_mome: model }] = (await call("v1/models")).data;
    show("version", `${id} ${model.version}, trained on ${model.corpus}`);
    const now = await call("v1/scale");
    $("served-scale").hidden = false;
    show("served-scale", now.scale);
    show("served", now.reason);
    for (const select of document.querySelectorAll("select.scales")) {
      const known = [...select.options].map(option => option.value);
      for (const name of now.available.filter(name => !known.includes(name)))
        select.add(new Option(now.untrained.includes(name) ? `${name}, never trained` : name, name));
    }
    drawHour((await call("v1/scale/last-hour")).minutes, now.available);
  } catch (error) {
    $("served-scale").hidden = true;
    show("served", error.message);
    show("hour-note", "unknown");
  }
};

$("key").addEventListener("change", refresh);
document.addEventListener("answered", refresh);
refresh();
setInterval(refresh, 5000);

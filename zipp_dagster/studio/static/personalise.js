// The Personalise room: the persona follows from the answers until it is edited; one call draws both.
"use strict";
const $ = (id) => document.getElementById(id);
const ask = $("ask"), persona = $("persona"), problem = $("problem");
let edited = false;

const source = () => ask.querySelector("[name=source]:checked")?.value ?? "intake";

function intake() {
  const data = new FormData(ask);
  const answers = {
    age_band: data.get("age_band"), surroundings: data.get("surroundings"),
    work: data.get("work"), hobbies: data.getAll("hobbies"), profession: data.get("profession"),
  };
  const whole = answers.age_band && answers.surroundings && answers.work && answers.hobbies.length;
  return whole ? answers : null;
}

async function post(url, body) {
  const answer = await fetch(url, {
    method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  const found = await answer.json().catch(() => ({ detail: `The server answered ${answer.status}.` }));
  if (!answer.ok) throw new Error(found.detail);
  return found;
}

async function follow() {
  const answers = intake();
  if (edited || !answers) return;
  try { persona.value = (await post("/persona", answers)).persona_text; } catch { /* said when drawing */ }
}

function say(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

function show(found) {
  for (const [side, name] of [["generic", "generic"], ["personalized", "personal"]]) {
    const image = $(`${name}-image`);
    image.src = `data:image/png;base64,${found[side].image_png_base64}`;
    image.alt = `${name === "generic" ? "Generic" : "Personal"} picture of: ${found[side].prompt}`;
    $(`${name}-prompt`).textContent = found[side].prompt;
  }
  $("none").hidden = found.added.length > 0;
  $("why").replaceChildren(...found.added.map((reason) => {
    const row = document.createElement("div");
    const term = document.createElement("dt"), why = document.createElement("dd");
    const from = document.createElement("span");
    term.textContent = reason.phrase;
    from.className = "src";
    from.textContent = reason.source;
    why.append(from, document.createElement("br"), reason.because);
    row.append(term, why);
    return row;
  }));
  $("meta").textContent = `Seed ${found.seed}, model ${found.models.diffusion_files}, rewriter ${found.models.language_model}`
    + (found.flags.length ? `; notes: ${found.flags.join(", ").replaceAll("_", " ")}` : "");
}

ask.addEventListener("change", (event) => {
  if (event.target.name === "source") {
    $("by-intake").hidden = source() !== "intake";
    $("by-mined").hidden = source() !== "mined";
  } else if (event.target !== persona) follow();
});
persona.addEventListener("input", () => { edited = persona.value.trim() !== ""; });

const user = $("user");
if (user) {
  const summary = () => { $("summary").textContent = user.selectedOptions[0]?.dataset.summary ?? ""; };
  user.addEventListener("change", summary);
  summary();
  $("edit").addEventListener("click", () => {
    persona.value = $("summary").textContent;
    edited = true;
    ask.querySelector("[name=source][value=intake]").click();
    persona.focus();
  });
}

// The questions are not required where the persona is written by hand.
for (const field of ask.querySelectorAll("select[required]")) field.required = false;
ask.addEventListener("submit", async (event) => {
  event.preventDefault();
  say("");
  const body = { prompt: $("prompt").value, seed: Number($("seed").value) };
  if (source() === "mined") body.user = user.value;
  else {
    const answers = intake();
    if (answers) body.intake = answers;
    if (persona.value.trim()) body.persona_text = persona.value;
    if (!body.intake && !body.persona_text) {
      say("Answer the questions, or write a persona in your own words.");
      return;
    }
  }
  $("go").disabled = true;
  $("result").hidden = false;
  $("busy").textContent = "Drawing …";
  try {
    show(await post("/personalize", body));
    $("seen").focus({ preventScroll: true });
    $("result").scrollIntoView({ block: "nearest", behavior: "smooth" });
  } catch (error) { say(error.message); }
  $("busy").textContent = "";
  $("go").disabled = false;
});

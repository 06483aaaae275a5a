// Runs when the intake appears on the page; `element` and `trigger` come from Gradio.
const drop = element.querySelector(".drop");
const input = element.querySelector("input[type=file]");

async function give(file) {
  if (!file) return;
  if (file.size > Number(input.dataset.most)) {
    trigger("upload", { bytes: file.size });
    return;
  }
  drop.classList.add("busy");
  const given = { path: null };
  try {
    // The name may be a patient's, so another one is sent.
    const form = new FormData();
    form.append("files", file, "file");
    const answer = await fetch("gradio_api/upload", { method: "POST", body: form });
    if (answer.ok) given.path = (await answer.json())[0];
    else given.refused = answer.status;
  } catch {
    // A folder or a missing file: the server reports it.
  }
  drop.classList.remove("busy");
  trigger("upload", given);
}

input.addEventListener("change", () => {
  const file = input.files[0];
  give(file);
  input.value = ""; // allows the same file again, and leaves no name in the page
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    event.stopPropagation();
    drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
  });
}
drop.addEventListener("drop", (event) => give(event.dataTransfer.files[0]));
for (const button of element.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", () => trigger("select", { sample: Number(button.dataset.sample) }));
}

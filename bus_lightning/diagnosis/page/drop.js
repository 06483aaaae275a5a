// Take the files that are chosen or dropped. A plain script, because Gradio cannot run a module: both pages have it.

// Give a file to one function. Give the number of several files to another, because it is not known which one is meant.
// `drop` is the place for dropping, with the input for choosing in it.
function takeFiles(drop, give, refuse) {
  const input = drop.querySelector("input[type=file]");
  const take = (files) => {
    if (files.length > 1) refuse(files.length);
    else if (files.length) give(files[0]);
  };
  const takeChosen = () => {
    take(input.files);
    input.value = ""; // allows the same file again, and leaves no name in the page
  };
  input.addEventListener("change", takeChosen);
  takeChosen(); // a file that was chosen while the page was loading
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      event.stopPropagation();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    });
  }
  drop.addEventListener("drop", (event) => take(event.dataTransfer.files));
}

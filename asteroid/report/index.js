// Tables with the class "sortable" are sorted by a click on a heading; data-value is the value of a cell, if it is not its text.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, column) => {
    const text = row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    return text === "" || isNaN(text) ? text : Number(text);
  };
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      // Empty cells stay at the end.
      rows.sort(([a], [b]) => (a === "") - (b === "") || (down ? -1 : 1) * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b))));
      body.append(...rows.map(([, row]) => row));
    });
  });
}

// Of more than two models of a molecule, two are chosen to stand side by side.
for (const section of document.querySelectorAll(".compare")) {
  const choose = section.querySelector(".choose"), selects = [...section.querySelectorAll("select")];
  if (!choose) continue;
  const show = () => {
    const chosen = selects.map((select) => Number(select.value));
    for (const row of section.querySelectorAll("tr"))
      [...row.cells].forEach((cell, column) => (cell.hidden = column > 0 && !chosen.includes(column)));
  };
  choose.hidden = false;
  selects.forEach((select) => select.addEventListener("change", show));
  show();
}

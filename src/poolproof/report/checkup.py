"""What `doctor` found, on a terminal: the ten symptoms, then each failure with its cause and first fix."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from poolproof.isolation.doctor import COMPROMISED, Checkup, Diagnosis
from poolproof.report.terminal import plain_console

MOST_DIAGNOSES = 20


def show(found: Checkup, console: Console | None = None) -> None:
    """Print the symptoms, the diagnoses, and the advice."""
    console = console or plain_console()
    console.print(_symptoms(found))
    for diagnosis in found.diagnoses[:MOST_DIAGNOSES]:
        _show_diagnosis(console, diagnosis)
    if len(found.diagnoses) > MOST_DIAGNOSES:
        rest = len(found.diagnoses) - MOST_DIAGNOSES
        console.print(Text(f"\nand {rest} more failing tests, in --json"))
    _show_advice(console, found)


def _symptoms(found: Checkup) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("symptom", "", "evidence"):
        table.add_column(column, overflow="fold")
    for symptom in found.symptoms:
        seen = Text("yes", style="bold red") if symptom.evidence else Text("no", style="green")
        table.add_row(Text(symptom.what), seen, Text("\n".join(symptom.evidence)))
    return table


def _show_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    title = Text("\n")
    title.append(diagnosis.test, style="bold")
    title.append(f"  {diagnosis.kind}, {diagnosis.failure}")
    console.print(title)
    console.print(Text(f"  cause: {diagnosis.cause}"))
    for line in diagnosis.evidence:
        console.print(Text(f"  - {line}"))
    console.print(Text(f"  first: {diagnosis.fix}"))


def _show_advice(console: Console, found: Checkup) -> None:
    words = "COMPROMISED" if found.compromised else "NOT COMPROMISED"
    text = Text("\n")
    text.append(words, style="bold red" if found.compromised else "green")
    text.append(
        f"  {found.score} of {len(found.symptoms)} symptoms ({COMPROMISED} compromise a suite)"
    )
    console.print(text)
    console.print(Text(f"advice: {found.advice}: {found.reason}"))

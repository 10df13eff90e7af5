"""The table of commands. Each is an import string: its module is loaded when the command is called, not before."""

from cyclopts import App

from chanzi.cli.guard import guarded

COMMANDS = {
    "run": ("chanzi.cli.run:run", "Run a network on a chip: outputs, a table of its layers, a report, a trace."),
    "compile": ("chanzi.cli.compile:compile_command", "Compile an ONNX network into a .chz program."),
    "disasm": ("chanzi.cli.inspect:disasm", "Print the instructions of a program."),
    "verify": ("chanzi.cli.inspect:verify", "Check that a program is whole and legal for its chip."),
    "chips": ("chanzi.cli.chips:app", "List, show, check and work out chips."),
    "compare": ("chanzi.cli.compare:compare", "Run one network on several chips, side by side."),
    "drive": ("chanzi.cli.drive:drive", "Let a network on a chip drive a car, with the chip's latency in the loop."),
    "worlds": ("chanzi.cli.worlds:app", "List the worlds to drive in; get one ready."),
    "rank": ("chanzi.cli.rank:rank", "TOPS on paper beside frames delivered: our chips and those of others."),
    "make-or-buy": ("chanzi.cli.make_or_buy:make_or_buy", "Make a chip or buy one: totals, break-even, risks, supply."),
    "explore": ("chanzi.cli.explore:explore", "Search for the best chips for a set of networks."),
    "rtl": ("chanzi.cli.rtl:rtl", "Write a chip's Verilog, its integration page and a bench that checks itself."),
    "synth": ("chanzi.cli.synth:synth", "Synthesize a chip: gates, area by block, the longest path of each."),
    "fpga": ("chanzi.cli.fpga:app", "Place and route a chip on an FPGA board; run networks on it."),
    "cost": ("chanzi.cli.cost:cost", "Say what a chip measures and costs: area, yield, dollars, with bands."),
    "validate": ("chanzi.cli.validate:validate", "Hold the cost models against published silicon."),
    "loop": ("chanzi.cli.loop:app", "The data engine: drive, learn, judge, deploy, mine what fails, and again."),
    "doctor": ("chanzi.cli.doctor:doctor", "Say what is installed, what is missing and how to get it."),
}


def make_app() -> App:
    """Return the application with every command by name."""
    app = App(
        name="chanzi",
        help="Describe an AI chip; compile ONNX networks for it; run them bit for bit and cycle by cycle.",
        version=_version,
    )
    for name, (target, summary) in COMMANDS.items():
        # An App brings its own help, and cyclopts 4 refuses a second one.
        app.command(target, name=name, **({} if target.endswith(":app") else {"help": summary}))
    return app


def _version() -> str:
    import chanzi

    return chanzi.__version__


def main() -> None:
    """Run the command line and exit."""
    raise SystemExit(guarded(make_app()))

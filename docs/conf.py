"""How these pages are built: `python run.py docs`.

The pages are plain Markdown that reads well in any viewer too. Whatever a page loads comes from its
own folder: a test builds everything and looks.
"""

from pathlib import Path

_ABOUT = (Path(__file__).parents[1] / "celeriac" / "__init__.py").read_text(encoding="utf-8")

project = "Celeriac"
release = _ABOUT.partition('__version__ = "')[2].partition('"')[0]
project_copyright = "the authors of Celeriac; MIT licence"
language = "en"

extensions = ["myst_parser"]
# So that `page.md#a-heading` means the same here as where the file is read plainly.
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_logo = html_favicon = "../celeriac/web/dashboard/static/icon.svg"
html_title = f"Celeriac {release}"
html_show_sphinx = False
# The pages are generated from what lies beside them; nobody needs that twice.
html_copy_source = False
html_show_sourcelink = False
# Furo's own are the fonts of the reader's system: nothing is fetched.
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#3d6b21", "color-brand-content": "#3d6b21"},
    "dark_css_variables": {"color-brand-primary": "#a3d47f", "color-brand-content": "#a3d47f"},
}

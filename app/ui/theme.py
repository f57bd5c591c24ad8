"""The page's theme: colours, fonts and spacing for Gradio's own parts, light and dark.

Fonts are those of the person's system. Nothing is fetched: `fonts.Font` only names a family, while a bare string or
Gradio's default theme would bring font files, and some themes ask another host for them.
"""

import importlib.resources

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

PAGE = importlib.resources.files("assets") / "page"

TEAL = colors.Color(
    name="teal", c50="#eef7f5", c100="#e0f0ed", c200="#b9ddd7", c300="#8ac8be", c400="#4fa99c", c500="#0f7c70",
    c600="#0b6b61", c700="#09574f", c800="#08443e", c900="#073530", c950="#041f1c",
)  # fmt: skip
STONE = colors.Color(
    name="stone", c50="#f6f6f4", c100="#f1f1ee", c200="#e2e2dd", c300="#cfd0cb", c400="#9aa0a6", c500="#6d747d",
    c600="#5d6570", c700="#31363d", c800="#24282d", c900="#1c1f23", c950="#141619",
)  # fmt: skip


def make_theme() -> gr.themes.Base:
    """Gradio's base theme in the page's colours."""
    theme = gr.themes.Base(
        primary_hue=TEAL,
        secondary_hue=TEAL,
        neutral_hue=STONE,
        radius_size=sizes.radius_md,
        spacing_size=sizes.spacing_md,
        font=fonts.Font("sans-serif"),
        font_mono=fonts.Font("monospace"),
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="#e9eaec",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="#a2a9b3",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_950",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_padding="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="#a2a9b3",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="#a2a9b3",
        block_title_text_size="13px",
        block_title_text_weight="500",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_border_width="1px",
        input_radius="8px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_secondary_text_color="*neutral_900",
        button_secondary_text_color_dark="#e9eaec",
        button_border_width="1px",
        button_transform_hover="none",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
    )


def page_head() -> str:
    """What stands in the document's head: the style sheet and the views, both inline.

    They do not go through Gradio's `css`, which prefixes selectors, so rules for the whole document would not hold.
    """
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    script = (PAGE / "page.js").read_text(encoding="utf-8")
    return f"<style>\n{style}\n</style>\n<script>\n{script}\n</script>"

"""The stylesheet: flat controls, hairlines, radii and heights, which a palette cannot express."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.theme import tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.ui.theme.tokens import Colours


# The margin that Qt adds beside the text of a cell. With it, cells line up with the words of their heading.
CELL_MARGIN = 3


def stylesheet(colours: Colours, px: Callable[[float], int], emphasis: int) -> str:
    """The sheet for a scheme; `px` scales a length with the text size, `emphasis` is the weight of the main button."""
    c = colours
    # The height within the border of one pixel.
    inner = px(tokens.CONTROL) - 2
    small, gap, wide = px(tokens.SPACE_1), px(tokens.SPACE_2), px(tokens.SPACE_3)
    radius, card = px(tokens.RADIUS_CONTROL), px(tokens.RADIUS_CARD)
    caption = px(tokens.FONT_PIXELS["caption"])
    return f"""
QPushButton, QToolButton {{ background: {c.surface}; color: {c.text}; border: 1px solid {c.border};
  border-radius: {radius}px; padding: 0 {wide}px; min-height: {inner}px; outline: none; }}
QToolButton {{ padding: 0 {gap}px; min-width: {px(14)}px; }}
QPushButton:hover, QToolButton:hover {{ background: {c.hover}; }}
QPushButton:pressed, QToolButton:pressed, QToolButton:checked {{ background: {c.raised}; border-color: {c.muted}; }}
QPushButton:disabled, QToolButton:disabled {{ color: {c.muted}; background: {c.window}; }}
QPushButton[kind="primary"] {{ background: {c.accent}; color: {c.on_accent}; border-color: {c.accent};
  font-weight: {emphasis}; }}
QPushButton[kind="primary"]:hover {{ background: {c.accent_hover}; border-color: {c.accent_hover}; }}
QPushButton[kind="primary"]:disabled {{ background: {c.raised}; color: {c.muted}; border-color: {c.border}; }}
QPushButton[kind="danger"]:enabled {{ color: {c.bad}; }}
QPushButton[kind="flat"], QToolButton[kind="flat"] {{ background: transparent; border-color: transparent; }}
QPushButton[kind="flat"] {{ padding: 0 {gap}px; }}
QPushButton[kind="flat"]:hover, QToolButton[kind="flat"]:hover {{ background: {c.hover}; }}
QPushButton[kind="flat"]:disabled, QToolButton[kind="flat"]:disabled {{ background: transparent; }}
QToolButton::menu-indicator, QPushButton::menu-indicator {{ image: none; width: 0; }}
QLineEdit, QComboBox, QAbstractSpinBox, QDateTimeEdit {{ background: {c.surface}; color: {c.text};
  border: 1px solid {c.field}; border-radius: {radius}px; padding: 0 {gap}px; min-height: {inner}px;
  selection-background-color: {c.accent}; selection-color: {c.on_accent}; }}
QLineEdit, QComboBox, QPlainTextEdit, QTextEdit {{ placeholder-text-color: {c.muted}; }}
QLineEdit:disabled, QComboBox:disabled, QPlainTextEdit:disabled {{ background: {c.window}; color: {c.muted};
  border-color: {c.border}; }}
QLineEdit[wrong="true"], QComboBox[wrong="true"], QPlainTextEdit[wrong="true"] {{ border-color: {c.bad}; }}
QComboBox {{ combobox-popup: 0; }}
QComboBox::drop-down {{ border: none; width: {px(24)}px; }}
QPlainTextEdit, QTextEdit {{ background: {c.surface}; color: {c.text}; border: 1px solid {c.field};
  border-radius: {radius}px; padding: {small}px; selection-background-color: {c.accent};
  selection-color: {c.on_accent}; }}
QLineEdit:read-only, QPlainTextEdit[readOnly="true"], QTextEdit[readOnly="true"] {{ border-color: {c.border}; }}
QAbstractItemView {{ background: {c.surface}; border: 1px solid {c.border}; outline: none; color: {c.text};
  selection-background-color: {c.selection}; selection-color: {c.text}; gridline-color: {c.border}; }}
QAbstractItemView[ground="page"] {{ background: transparent; border: none; }}
QListView::item {{ min-height: {px(tokens.TARGET)}px; padding: 0 {small}px; }}
QListView::item:hover {{ background: {c.hover}; }}
QListView::item:selected {{ background: {c.selection}; color: {c.text}; }}
QHeaderView {{ background: transparent; border: none; }}
QHeaderView::section {{ background: {c.window}; color: {c.muted}; border: none; border-bottom: 1px solid {c.border};
  padding: {small}px {gap}px; font-size: {caption}px; }}
QTabBar {{ border: none; background: transparent; }}
QTabBar::tab {{ background: transparent; color: {c.muted}; border: none; border-bottom: 2px solid transparent;
  padding: 0; margin-right: {px(tokens.SPACE_5)}px; min-height: {inner}px; min-width: {px(tokens.TARGET)}px; }}
QTabBar::tab:selected {{ color: {c.text}; border-bottom-color: {c.accent}; }}
QTabBar::tab:hover {{ color: {c.text}; }}
QTabBar::tab:disabled {{ color: {c.disabled}; }}
QMenu {{ background: {c.surface}; color: {c.text}; border: 1px solid {c.border}; border-radius: {radius}px;
  padding: {small}px; }}
QMenu::item {{ padding: {px(6)}px {px(24)}px {px(6)}px {wide}px; border-radius: {small}px; }}
QMenu::item:selected {{ background: {c.selection}; }}
QMenu[checks="painted"]::indicator {{ image: none; width: {px(tokens.ICON)}px; height: {px(tokens.ICON)}px;
  margin-left: {gap}px; }}
QMenu::item:disabled {{ color: {c.muted}; }}
QMenu::separator {{ height: 1px; background: {c.border}; margin: {small}px {gap}px; }}
QToolTip {{ background: {c.raised}; color: {c.text}; border: 1px solid {c.border}; padding: {small}px; }}
QSplitter::handle {{ background: {c.border}; }}
QSplitter::handle:hover {{ background: {c.accent}; }}
QScrollArea {{ background: transparent; border: none; }}
QScrollArea > QWidget > QWidget {{ background: transparent; }}
QScrollBar:vertical {{ background: transparent; width: {px(10)}px; margin: 0; }}
QScrollBar:horizontal {{ background: transparent; height: {px(10)}px; margin: 0; }}
QScrollBar::handle {{ background: {c.border}; border-radius: {px(3)}px; margin: {px(2)}px;
  min-height: {px(28)}px;
  min-width: {px(28)}px; }}
QScrollBar::handle:hover {{ background: {c.muted}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
QFrame[card="true"] {{ background: {c.surface}; border: 1px solid {c.border}; border-radius: {card}px; }}
QFrame[card="attention"] {{ background: {c.attention_fill}; border: 1px solid {c.attention}; border-radius: {card}px; }}
QFrame[card="bad"] {{ background: {c.bad_fill}; border: 1px solid {c.bad}; border-radius: {card}px; }}
QFrame[card="good"] {{ background: {c.good_fill}; border: 1px solid {c.good}; border-radius: {card}px; }}
QFrame[card="info"] {{ background: {c.info_fill}; border: 1px solid {c.info}; border-radius: {card}px; }}
QFrame[bar="attention"] {{ background: {c.attention_fill}; border: none; border-bottom: 1px solid {c.border}; }}
QFrame[bar="bad"] {{ background: {c.bad_fill}; border: none; border-bottom: 1px solid {c.border}; }}
QFrame[bar="good"] {{ background: {c.good_fill}; border: none; border-bottom: 1px solid {c.border}; }}
QFrame[bar="info"] {{ background: {c.info_fill}; border: none; border-bottom: 1px solid {c.border}; }}
QFrame[pane="side"] {{ background: {c.window}; border: none; }}
QFrame[pane="rail"] {{ background: {c.window}; border: none; border-right: 1px solid {c.border}; }}
QPlainTextEdit[edge="none"], QTextEdit[edge="none"] {{ border: none; border-radius: 0; padding: {gap}px {wide}px; }}
QTextEdit[prose="true"] {{ background: transparent; border: none; padding: 0; }}
QTableView[padded="true"]::item {{ padding: 0 {gap - CELL_MARGIN}px; }}
QFrame[pane="surface"] {{ background: {c.surface}; border: none; }}
"""

"""Generic pieces of the window; they know nothing of tasks, servers or the core. Import from the modules.

Lists (`rows`, `lists`, `tables`)
    Row(key, title, detail="", state=None, side=None, badge="", trailing="", level=0, struck=False, muted=False,
        mono=False, accessible="", tooltip="")
    Group(key, title, rows, note="")            rows under a heading that folds
    ListTable(name, *, two_lines=False, multi=False, show_words=False, align_glyphs=False, type_ahead=True, dense=False)
        .set_rows(rows) .set_groups(groups) .current_key() .selected_keys() .select_key(key, quiet=False)
        .select_first() .rows.row(key) -> Row | None     signals: picked(str) opened(str) toggled(str)
        menu_wanted(str, QPoint) need_more() left_upwards()    selection, folding and scroll place survive updates
    Column(title, text, width=0, right=False, mono=False, tone=None, tooltip=None)
    DataTable(name, columns, key)               .set_items(items) .current()  picked opened menu_wanted
Text (`text`, `times`)
    Text(text, role="body", tone="text", *, wrap=False, selectable=False)   .set_tone .set_role; plain text always
    ElidedLabel(text, role, tone, *, mode=ElideMiddle)     StatusWord(state, role)  .set_state(state, suffix="")
    RelativeTime(moment, role, tone, *, prefix="")  .set_moment
    relative(dt) absolute(dt) clock(dt) moment_at(unix seconds) duration(seconds) ticker().tick
Buttons (`buttons`)
    PrimaryButton(text, icon="", *, keys="", clicked=None)      QuietButton(..., kind="quiet"|"flat"|"danger")
    IconButton(name, icon, *, keys="", clicked=None)            with_keys("Refresh", "F5")
Choices (`choices`)
    Segmented(options[(value, text, glyph, tone)], name)  .value() .set_value(v) .set_locked(reason)  signal chosen(str)
    CheckBox(text)                              use instead of QCheckBox (which cannot be seen in the dark)
    Select(name, options[(value, text)])        a QComboBox with its arrow; value is currentData()
    SearchSelect(name, …)  (`search_select`)   the same for many choices: its popup has a filter
    PagedSelect(name, source, first=, free=)  (`paged_choices`)   for choices that a server searches and pages
    TabStrip(names, accessible)                 a QTabBar: currentChanged(int)
Fields (`fields`, `plain_text`, `text_field`, `bounded_text`, `jsontree`)
    PlainTextEdit()  .text() .set_text(t) .insert_text(t) .selected_text()   every character comes back as it was put in
    TextField(name, text="", *, lines=1, most=10, mono=False)  .propose(t)   grows; signals edited(str) pasted()
    BoundedText(text, role, tone, *, name="")   the beginning of a long text, the rest on request
    FilterField(placeholder)  changed(str) debounced 150 ms, down(), .clear_now() .set_text_quietly(text)
    CodeEdit(name, *, read_only=False, wrap=False, tabs=False)
    JsonEdit(name, *, read=json.loads)  .edit .text() .value() .set_value(v) .check() .line()  signal checked(bool)
    FieldError(field)  .say(text)               the line under a field, tied to it
    KeyValueGrid()  .add(name, value | widget, path=False, mono=False) .clear()
    JsonTree(name)  .set_value(v, open_levels=1) .current_text() .copy_value() .copy_path()  signal copied(str)
Feedback (`feedback`)
    Banner()  .show_message(text, tone, primary=(words, act), secondary=[(words, act)]) .clear()
    InlineCard()  .show_note(title, cause, advice, actions, tone=, detail=) .show_error(error, actions) .clear()
    EmptyState(title, text, actions, glyph="", primary=False)  .show_state(...)
    ProgressLine(name)  .start() .stop() .set_fraction(f)
    UndoBar()  .add(Undoable(kind, subjects, undo, settle)) .withdraw(u) .undo() .settle() .drop()  expired()  (`undo`)
    InlineQuestion()  .ask(text, yes, act) .withdraw()  answered(bool)  (`question`)
    FlowLayout(centred=False)  (`flow`)         a row of controls that wraps
    Glyph(name, tone, size)   Tones of boxes: attention | bad | good | info
Pages (`page`)
    TitledPage(title)  .title .status .progress .undo .banner .card .edge .body
        .set_title .add_action(w) .set_head(w) .set_body(w)     its title is the window's while it is in view
    TitleRow(title)  (`title_row`)   .addWidget(control): beside the title, or below it where it has no room
        .add_beside(control): always beside it
    ScrollEdge(*areas)  (`scroll_edge`)  .follow(area)   a line under a head while an area is scrolled
    LazyColumn(count, make, name)  (`lazy_column`)   parts that are made when they come into view
    order_after(anchor, parts) reveal(widget) first_stop(w) holds_focus(w)  (`focus_chain`)   where Tab goes
    ScrollColumn(name, side=, top=)  (`column`)  .box: one column of reading width that scrolls
    SidePane(name)  .set_head(main, *others) .box .add_padded(w)
    RememberedSplitter(orientation, parts, sizes, remember)  .hold(parts)
    LowSplitter(name)  .hold(parts, sizes) LowArea(name, content) ScrollingPages(least)  (`scrolling`)  for low windows
    DropFrame(page, words, takes=, take=, fields=)  (`drop_frame`)   what can be dropped on a page, shown while dragged
Menus (`menus`)
    CheckMenu(title="")  .add_heading(words)    instead of QMenu.addSection, which the stylesheet draws without words
    open_edit_menu(menu, at)                    the menu that Qt makes for a field
Rules (`guard`, `focus`, `focus_keeper`, `mnemonics`, `accessible_roles`, `announce`)
    @guarded(default=None) on data(), paint and event handlers       show_focus_ring(window) once a top-level window
    A control that goes away leaves the focus to the nearest one of its part; no page needs to do it.
    mirrored(part, widget)  (`mirror`)          where it lies from right to left, for everything painted by hand
    mnemonic_flag() to paint a text with `&`    install_roles(window): window and headings for assistive technology
    announce(widget, text, assertive=False)     places use navigator.announce instead
"""

; Burrow's installer for Windows. packaging/windows/build.py writes files.nsh and gives the definitions:
;   VERSION "0.1.0"   FOUR_PART "0.1.0.0"   PUBLISHER   COPYRIGHT   ICON   LICENCE   FILES   OUTPUT   KIB
;   SIGN: a command that signs the uninstaller, which makensis writes itself; without it nothing is signed.
;
; It installs for this user, without an administrator's rights. `/AllUsers` installs for the machine and asks for them.
; `/S` is silent, `/D=C:\folder` (last, without quotes) chooses the folder, `/Force` ends a Burrow that does not close.
; Exit codes: 0 installed, 1 cancelled, 2 failed and the former version is in place, 3 Burrow does not close,
; 4 the rights of an administrator were not given, 5 the folder has files of others, 6 not a 64-bit Windows 10.

Unicode true
ManifestSupportedOS Win10
ManifestDPIAware true
ManifestLongPathAware true
RequestExecutionLevel user
SetCompressor /SOLID lzma
SetCompressorDictSize 64
AllowSkipFiles off
CRCCheck on
; Two builds of one commit are the same: no file carries the time of its build.
SetDateSave off
; The target is for tests of this script: only Debian's makensis has a 64-bit one.
!ifdef TARGET
  Target ${TARGET}
!endif

!include MUI2.nsh
!include LogicLib.nsh
!include FileFunc.nsh
!include WordFunc.nsh
!include x64.nsh
!include WinVer.nsh
!include Win\COM.nsh
!include Win\Propkey.nsh
!include "${FILES}"

!define NAME "Burrow"
!define APP_ID "Burrow"
!define ARP "Software\Microsoft\Windows\CurrentVersion\Uninstall\${APP_ID}"
!define APP_PATHS "Software\Microsoft\Windows\CurrentVersion\App Paths\burrow.exe"
!define CLASSES "Software\Classes"
!define CAPABILITIES "Software\${APP_ID}\Capabilities"
!define AT_LOGIN "Software\Microsoft\Windows\CurrentVersion\Run"
!define AT_LOGIN_APPROVED "Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
!define SHCNE_ASSOCCHANGED 0x08000000

Name "${NAME}"
OutFile "${OUTPUT}"
Icon "${ICON}"
UninstallIcon "${ICON}"
BrandingText "${NAME} ${VERSION}"
ShowInstDetails nevershow
ShowUninstDetails nevershow
!ifdef SIGN
  !uninstfinalize `${SIGN}`
!endif

VIProductVersion "${FOUR_PART}"
VIFileVersion "${FOUR_PART}"
VIAddVersionKey /LANG=1033 "ProductName" "${NAME}"
VIAddVersionKey /LANG=1033 "ProductVersion" "${VERSION}"
VIAddVersionKey /LANG=1033 "FileDescription" "${NAME} Setup"
VIAddVersionKey /LANG=1033 "FileVersion" "${VERSION}"
VIAddVersionKey /LANG=1033 "CompanyName" "${PUBLISHER}"
VIAddVersionKey /LANG=1033 "LegalCopyright" "${COPYRIGHT}"

Var AllUsers  ; 1 when installed for the machine
Var Force     ; 1 when /Force was given
Var Moved     ; 1 while the former version waits in $Previous
Var Previous  ; beside $INSTDIR, so that moving is one step
Var Ours      ; 1 once all that is in $INSTDIR was put there by this run

!define MUI_ICON "${ICON}"
!define MUI_UNICON "${ICON}"
!define MUI_ABORTWARNING
!insertmacro MUI_PAGE_LICENSE "${LICENCE}"
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!define MUI_FINISHPAGE_RUN
!define MUI_FINISHPAGE_RUN_TEXT "Start Burrow"
!define MUI_FINISHPAGE_RUN_FUNCTION StartBurrow
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

LangString NOT_CLOSED ${LANG_ENGLISH} "Burrow did not close. It may ask you whether to interrupt work, or an agent may use it as its MCP server.$\r$\n$\r$\nYes: try again.$\r$\nNo: end it now. What it is doing is lost.$\r$\nCancel: change nothing."
LangString IN_USE ${LANG_ENGLISH} "A file in $INSTDIR is in use. Close the programs and windows that use it, then try again."
LangString FOREIGN ${LANG_ENGLISH} "$INSTDIR has files that are not Burrow's. Choose an empty folder."
LangString NEEDS_ADMIN ${LANG_ENGLISH} "Installing for all users needs an administrator's rights."
LangString NEEDS_WINDOWS ${LANG_ENGLISH} "Burrow needs a 64-bit Windows 10, version 1809, or later."
LangString NOT_REPLACED ${LANG_ENGLISH} "Burrow could not be installed. The version that was installed before is in its place."

; Ask every program that uses one of our executables to close, by Windows' Restart Manager
; (https://learn.microsoft.com/windows/win32/rstmgr): the window is asked as at the end of the session, so it asks about
; unfinished work and may refuse. $0 is "" when none is left, else the error.
!macro CLOSE_RUNNING un
Function ${un}CloseRunning
  System::Store S
  StrCpy $9 ""
  System::Call 'rstrtmgr::RmStartSession(*i.r1, i0, w.r2) i.r0'
  ${If} $0 = 0
    System::Call '*(&w1024 "$INSTDIR\burrow.exe") p.r3'
    System::Call '*(&w1024 "$INSTDIR\burrow.com") p.r4'
    System::Call '*(p r3, p r4) p.r5'
    System::Call 'rstrtmgr::RmRegisterResources(i r1, i 2, p r5, i 0, p 0, i 0, p 0) i.r0'
    ${If} $0 = 0
      ; With room for none it says how many there are.
      System::Call 'rstrtmgr::RmGetList(i r1, *i .r6, *i 0 r7, p 0, *i 0 r8) i.r0'
      ${If} $6 > 0
        StrCpy $7 0
        ${IfThen} $Force = 1 ${|} StrCpy $7 1 ${|}
        System::Call 'rstrtmgr::RmShutdown(i r1, i r7, p 0) i.r0'
        ${IfThen} $0 <> 0 ${|} StrCpy $9 $0 ${|}
      ${EndIf}
    ${EndIf}
    System::Free $3
    System::Free $4
    System::Free $5
    System::Call 'rstrtmgr::RmEndSession(i r1)'
  ${EndIf}
  Push $9
  System::Store L
  Pop $0
FunctionEnd

; Close what runs, or ask what to do; ends with code 3 when it stays.
Function ${un}CloseOrAsk
  again:
  Call ${un}CloseRunning
  ${If} $0 != ""
    MessageBox MB_YESNOCANCEL|MB_ICONEXCLAMATION "$(NOT_CLOSED)" /SD IDCANCEL IDYES again IDNO force
    SetErrorLevel 3
    Quit
    force:
    StrCpy $Force 1
    Goto again
  ${EndIf}
FunctionEnd
!macroend
!insertmacro CLOSE_RUNNING ""
!insertmacro CLOSE_RUNNING "un."

Function .onInit
  ${IfNot} ${RunningX64}
  ${OrIfNot} ${AtLeastWin10}
    MessageBox MB_OK|MB_ICONSTOP "$(NEEDS_WINDOWS)" /SD IDOK
    SetErrorLevel 6
    Quit
  ${EndIf}
  SetRegView 64
  ${GetParameters} $R0
  ClearErrors
  ${GetOptions} $R0 "/Force" $R1
  ${IfNot} ${Errors}
    StrCpy $Force 1
  ${EndIf}

  ; The mode that was asked for, else that of what is installed, else this user.
  StrCpy $AllUsers 0
  ReadRegStr $R2 HKCU "${ARP}" "InstallLocation"
  ReadRegStr $R3 HKLM "${ARP}" "InstallLocation"
  ${If} $R2 == ""
  ${AndIf} $R3 != ""
    StrCpy $AllUsers 1
  ${EndIf}
  ClearErrors
  ${GetOptions} $R0 "/AllUsers" $R1
  ${IfNot} ${Errors}
    StrCpy $AllUsers 1
  ${EndIf}
  ClearErrors
  ${GetOptions} $R0 "/CurrentUser" $R1
  ${IfNot} ${Errors}
    StrCpy $AllUsers 0
  ${EndIf}

  ${If} $AllUsers = 1
    UserInfo::GetAccountType
    Pop $R4
    ${If} $R4 != "Admin"
      ; Windows asks the person for the rights. Before the other words, because /D= takes all that follows.
      ClearErrors
      ExecShellWait "runas" "$EXEPATH" "/AllUsers $R0"
      ${If} ${Errors}
        MessageBox MB_OK|MB_ICONSTOP "$(NEEDS_ADMIN)" /SD IDOK
        SetErrorLevel 4
        Quit
      ${EndIf}
      ; The code of what ran with the rights is not handed on, so look at what it did.
      ReadRegStr $R6 HKLM "${ARP}" "DisplayVersion"
      ${If} $R6 != "${VERSION}"
        SetErrorLevel 2
      ${EndIf}
      Quit
    ${EndIf}
    SetShellVarContext all
    StrCpy $R5 "$PROGRAMFILES64\${NAME}"
    ${IfThen} $R3 != "" ${|} StrCpy $R5 $R3 ${|}
  ${Else}
    SetShellVarContext current
    GetKnownFolderPath $R5 {5CD7AEE2-2219-4A67-B85D-6C9CE15660CB} ; FOLDERID_UserProgramFiles
    ${IfThen} $R5 == "" ${|} StrCpy $R5 "$LOCALAPPDATA\Programs" ${|}
    StrCpy $R5 "$R5\${NAME}"
    ${IfThen} $R2 != "" ${|} StrCpy $R5 $R2 ${|}
  ${EndIf}
  ; /D= has set it already.
  ${IfThen} $INSTDIR == "" ${|} StrCpy $INSTDIR $R5 ${|}
FunctionEnd

; The person's shell folders and registry, from the mode that installed it.
Function un.onInit
  SetRegView 64
  SetShellVarContext current
  ReadRegStr $R3 HKLM "${ARP}" "InstallLocation"
  ${If} $R3 == "$INSTDIR"
    StrCpy $AllUsers 1
    UserInfo::GetAccountType
    Pop $R4
    ${If} $R4 != "Admin"
      ${If} ${Silent}
        SetErrorLevel 4
        Quit
      ${EndIf}
      ; Not $EXEPATH: the copy in the temporary folder is gone when this one ends.
      ClearErrors
      ExecShell "runas" "$INSTDIR\uninstall.exe"
      ${If} ${Errors}
        MessageBox MB_OK|MB_ICONSTOP "$(NEEDS_ADMIN)"
        SetErrorLevel 4
      ${EndIf}
      Quit
    ${EndIf}
    SetShellVarContext all
  ${EndIf}
  ${un.GetParameters} $R0
  ClearErrors
  ${un.GetOptions} $R0 "/Force" $R1
  ${IfNot} ${Errors}
    StrCpy $Force 1
  ${EndIf}
FunctionEnd

; Through Explorer, which runs as the person who is logged in, not as the administrator who installs.
Function StartBurrow
  Exec '"$WINDIR\explorer.exe" "$INSTDIR\burrow.exe"'
FunctionEnd

; The files of the version in $Previous, by the list of the uninstaller that came with them. What others put beside them
; moves to the new version's folder.
Function RemovePrevious
  ${If} ${FileExists} "$Previous\uninstall.exe"
    InitPluginsDir
    CopyFiles /SILENT /FILESONLY "$Previous\uninstall.exe" "$PLUGINSDIR\previous.exe"
    ExecWait '"$PLUGINSDIR\previous.exe" /S /FilesOnly _?=$Previous'
  ${EndIf}
  FindFirst $R1 $R2 "$Previous\*"
  ${DoWhile} $R2 != ""
    ${If} $R2 != "."
    ${AndIf} $R2 != ".."
      Rename "$Previous\$R2" "$INSTDIR\$R2"
    ${EndIf}
    FindNext $R1 $R2
  ${Loop}
  FindClose $R1
  RMDir "$Previous"
FunctionEnd

; Move the installed version aside in one step, which works only while no file of it is in use.
Function MovePrevious
  StrCpy $Moved 0
  StrCpy $Ours 0
  StrCpy $Previous "$INSTDIR.previous"
  ; An installation that was broken off left the former version there.
  ${If} ${FileExists} "$Previous\uninstall.exe"
    ${If} ${FileExists} "$INSTDIR\uninstall.exe"
      Call RemovePrevious
    ${Else}
      RMDir /r "$INSTDIR"
      Rename "$Previous" "$INSTDIR"
    ${EndIf}
  ${EndIf}
  ${DoWhile} ${FileExists} "$Previous\*.*"
    StrCpy $Previous "$Previous-"
  ${Loop}
  ${IfNot} ${FileExists} "$INSTDIR\*.*"
    StrCpy $Ours 1
    Return
  ${EndIf}
  ${IfNot} ${FileExists} "$INSTDIR\uninstall.exe"
    ${DirState} "$INSTDIR" $R1
    ${If} $R1 = 0
      StrCpy $Ours 1
      Return
    ${EndIf}
    MessageBox MB_OK|MB_ICONSTOP "$(FOREIGN)" /SD IDOK
    SetErrorLevel 5
    Quit
  ${EndIf}
  Call CloseOrAsk
  again:
  ; A virus scanner or the search index may hold a file for a moment: try for five seconds.
  StrCpy $R1 20
  ${Do}
    ClearErrors
    Rename "$INSTDIR" "$Previous"
    ${IfNot} ${Errors}
      ${ExitDo}
    ${EndIf}
    Sleep 250
    IntOp $R1 $R1 - 1
  ${LoopUntil} $R1 = 0
  ${If} $R1 = 0
    MessageBox MB_RETRYCANCEL|MB_ICONEXCLAMATION "$(IN_USE)" /SD IDCANCEL IDRETRY again
    SetErrorLevel 3
    Quit
  ${EndIf}
  StrCpy $Moved 1
  StrCpy $Ours 1
FunctionEnd

; Called when a file cannot be written, for example on a full disk, and after Quit.
Function .onInstFailed
  ${IfThen} $Ours <> 1 ${|} Return ${|}
  SetOutPath "$TEMP"
  RMDir /r "$INSTDIR"
  ${If} $Moved = 1
    Rename "$Previous" "$INSTDIR"
    MessageBox MB_OK|MB_ICONSTOP "$(NOT_REPLACED)" /SD IDOK
  ${EndIf}
  SetErrorLevel 2
FunctionEnd

; A shortcut with the AppUserModelID of the running window: the task bar groups by it and notifications need it.
Function WriteShortcut
  System::Store S
  !insertmacro ComHlpr_CreateInProcInstance ${CLSID_ShellLink} ${IID_IShellLink} r0 ""
  ${If} $0 P<> 0
    ${IShellLink::SetPath} $0 '("$INSTDIR\burrow.exe").r1'
    ${IShellLink::SetWorkingDirectory} $0 '("$INSTDIR")'
    ${IShellLink::SetDescription} $0 '("PostHog tasks and MCP servers")'
    ${IUnknown::QueryInterface} $0 '("${IID_IPropertyStore}",.r1)'
    ${If} $1 P<> 0
      System::Call '*${SYSSTRUCT_PROPERTYKEY}(${PKEY_AppUserModel_ID}) p.r2'
      System::Call '*(&w64 "${APP_ID}") p.r4'
      System::Call '*${SYSSTRUCT_PROPVARIANT}(${VT_LPWSTR},,p r4) p.r3'
      ${IPropertyStore::SetValue} $1 '($2,$3)'
      ${IPropertyStore::Commit} $1 ""
      System::Free $2
      System::Free $3
      System::Free $4
      ${IUnknown::Release} $1 ""
    ${EndIf}
    ${IUnknown::QueryInterface} $0 '("${IID_IPersistFile}",.r1)'
    ${If} $1 P<> 0
      ${IPersistFile::Save} $1 '("$SMPROGRAMS\${NAME}.lnk",1)'
      ${IUnknown::Release} $1 ""
    ${EndIf}
    ${IUnknown::Release} $0 ""
  ${EndIf}
  System::Store L
FunctionEnd

Section "Burrow"
  Call MovePrevious
  SetOverwrite on
  ; First, because with it a folder counts as ours. It says that it failed only by the error flag.
  SetOutPath "$INSTDIR"
  ClearErrors
  WriteUninstaller "$INSTDIR\uninstall.exe"
  ${If} ${Errors}
    Abort
  ${EndIf}
  !insertmacro INSTALL_FILES
  SetOutPath "$INSTDIR"
  Call WriteShortcut

  ; burrow:// links (https://learn.microsoft.com/previous-versions/windows/internet-explorer/ie-developer/platform-apis/aa767914(v=vs.85))
  WriteRegStr SHCTX "${CLASSES}\burrow" "" "URL:Burrow"
  WriteRegStr SHCTX "${CLASSES}\burrow" "URL Protocol" ""
  WriteRegStr SHCTX "${CLASSES}\burrow\DefaultIcon" "" '"$INSTDIR\burrow.exe",0'
  WriteRegStr SHCTX "${CLASSES}\burrow\shell\open\command" "" '"$INSTDIR\burrow.exe" -- "%1"'
  WriteRegStr SHCTX "${CAPABILITIES}" "ApplicationName" "${NAME}"
  WriteRegStr SHCTX "${CAPABILITIES}" "ApplicationDescription" "PostHog tasks and MCP servers"
  WriteRegStr SHCTX "${CAPABILITIES}\URLAssociations" "burrow" "burrow"
  WriteRegStr SHCTX "Software\RegisteredApplications" "${APP_ID}" "${CAPABILITIES}"
  ; What notifications show as their sender.
  WriteRegStr SHCTX "${CLASSES}\AppUserModelId\${APP_ID}" "DisplayName" "${NAME}"

  WriteRegStr SHCTX "${APP_PATHS}" "" "$INSTDIR\burrow.exe"
  WriteRegStr SHCTX "${APP_PATHS}" "Path" "$INSTDIR"

  WriteRegStr SHCTX "${ARP}" "DisplayName" "${NAME}"
  WriteRegStr SHCTX "${ARP}" "DisplayVersion" "${VERSION}"
  WriteRegStr SHCTX "${ARP}" "DisplayIcon" "$INSTDIR\burrow.exe"
  WriteRegStr SHCTX "${ARP}" "Publisher" "${PUBLISHER}"
  WriteRegStr SHCTX "${ARP}" "InstallLocation" "$INSTDIR"
  WriteRegStr SHCTX "${ARP}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr SHCTX "${ARP}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD SHCTX "${ARP}" "EstimatedSize" ${KIB}
  WriteRegDWORD SHCTX "${ARP}" "NoModify" 1
  WriteRegDWORD SHCTX "${ARP}" "NoRepair" 1

  ${IfThen} $Moved = 1 ${|} Call RemovePrevious ${|}
  System::Call 'shell32::SHChangeNotify(i ${SHCNE_ASSOCCHANGED}, i 0, p 0, p 0)'
SectionEnd

; Removes what was installed. Data, sign-ins and settings of people stay.
Section "Uninstall"
  ${un.GetParameters} $R0
  ClearErrors
  ; An installer replaces this version: only the files go.
  ${un.GetOptions} $R0 "/FilesOnly" $R1
  ${If} ${Errors}
    Call un.CloseOrAsk
    Delete "$SMPROGRAMS\${NAME}.lnk"
    DeleteRegKey SHCTX "${CLASSES}\burrow"
    DeleteRegKey SHCTX "${CLASSES}\AppUserModelId\${APP_ID}"
    DeleteRegValue SHCTX "Software\RegisteredApplications" "${APP_ID}"
    DeleteRegKey SHCTX "${CAPABILITIES}"
    DeleteRegKey /ifempty SHCTX "Software\${APP_ID}"
    DeleteRegKey SHCTX "${APP_PATHS}"
    DeleteRegKey SHCTX "${ARP}"
    ; Written by Burrow itself when a person asks for the start at login.
    DeleteRegValue HKCU "${AT_LOGIN}" "${APP_ID}"
    DeleteRegValue HKCU "${AT_LOGIN_APPROVED}" "${APP_ID}"
    System::Call 'shell32::SHChangeNotify(i ${SHCNE_ASSOCCHANGED}, i 0, p 0, p 0)'
  ${EndIf}
  SetOutPath "$TEMP"
  !insertmacro UNINSTALL_FILES
  Delete "$INSTDIR\uninstall.exe"
  RMDir "$INSTDIR"
SectionEnd
